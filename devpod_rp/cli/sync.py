"""``devpod-rp sync …``: asking and telling the synchronisation."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import click

from devpod_rp.cli import pick, render, ui
from devpod_rp.cli.options import json_option, name_argument, name_option
from devpod_rp.cli.overview import sync_line
from devpod_rp.errors import ExitCode, UsageError, printable

_FLUSH_SECONDS = 3600.0
_SHOWN = 4
_SIDES = {"pod": "on the pod", "here": "here"}


@click.group()
def sync() -> None:
    """The synchronisation between this folder and the pod."""


@sync.command()
@name_argument
@json_option
def status(name: str | None, as_json: bool) -> None:
    """State, counts, conflicts and problems."""
    found = _status(name, as_json)
    if as_json:
        render.document(found)
        return
    click.echo(sync_line(found))
    _show_remarks("conflicts", found)
    _show_remarks("problems", found)
    if found.get("halted"):
        click.echo(f"halted: {found['halted']['message']}")
        click.echo(f"hint: {found['halted']['hint']}")


@sync.command()
@name_argument
@json_option
def conflicts(name: str | None, as_json: bool) -> int:
    """Paths that changed on both sides; neither version was touched. Exit code 8 if there are any."""
    found = _status(name, as_json)
    if as_json:
        render.document({"conflicts": found["conflicts"]})
    elif found["conflicts"]:
        for each in found["conflicts"]:
            click.echo(f"{printable(each['path'])}: {each['reason']}")
            render.facts([("here", _version(each["local"])), ("pod", _version(each["pod"]))])
        click.echo("hint: devpod-rp sync resolve PATH --keep local|pod|both", err=True)
    else:
        click.echo("No conflicts.")
    return int(ExitCode.SYNC if found["conflicts"] else ExitCode.DONE)


@sync.command()
@name_argument
@json_option
def flush(name: str | None, as_json: bool) -> None:
    """Wait until everything saved here before now is on the pod."""
    _tell(name, "flush", as_json, "Everything saved here is on the pod")


@sync.command()
@name_argument
@json_option
def pause(name: str | None, as_json: bool) -> None:
    """Stop synchronising until `resume`."""
    _tell(name, "pause", as_json, "Paused")


@sync.command()
@name_argument
@json_option
def resume(name: str | None, as_json: bool) -> None:
    """Go on after a pause, or after a halt whose cause you have looked at."""
    _tell(name, "resume", as_json, "Synchronising")


@sync.command()
@click.argument("path")
@click.option("--keep", type=click.Choice(["local", "pod", "both"]), required=True, help="Whose version stands.")
@name_option
@json_option
def resolve(path: str, keep: str, name: str | None, as_json: bool) -> None:
    """End the conflict at PATH (relative to the folder); the version that loses goes to its side's trash.

    `both` keeps the local version under its name, and puts the pod's beside it.
    """
    answer = _ask(name, "resolve", as_json, path=_relative(path), keep=keep)
    _told(answer, "written", as_json, "Resolved; written:")


@sync.command()
@click.argument("paths", nargs=-1)
@name_option
@json_option
def pull(paths: tuple[str, ...], name: str | None, as_json: bool) -> None:
    """Fetch what only the pod has or changed (outputs, notebooks): all of it, or what is below PATHS."""
    answer = _ask(name, "pull", as_json, paths=[_relative(path) for path in paths])
    _told(answer, "pulled", as_json, "Pulled:", nothing="The pod has nothing that is not here.")


@sync.command()
@click.argument("path", required=False)
@click.option("--at", metavar="MOMENT", help="What that moment took; `trash` lists them.")
@name_option
@json_option
def undo(path: str | None, at: str | None, name: str | None, as_json: bool) -> None:
    """Bring back what the synchronisation replaced or deleted last: PATH, or all that one of its cycles took.

    What is here now goes to the trash in turn, so a second undo takes the first one back.
    """
    answer = _ask(name, "undo", as_json, path=None if path is None else _relative(path), at=at)
    _told(answer, "restored", as_json, "Brought back:")


@sync.command()
@click.argument("path", required=False)
@name_option
@json_option
def trash(path: str | None, name: str | None, as_json: bool) -> None:
    """What `undo` can bring back, of PATH or of everything: each moment at which something was replaced or deleted."""
    moments = _ask(name, "trash", as_json, path=None if path is None else _relative(path))["trash"]
    if as_json:
        render.document({"trash": moments})
        return
    if not moments:
        click.echo("The trash is empty.")
        return
    for moment in moments:
        when = f"{render.age(moment['time'])} ago, " if moment["time"] else ""
        size = ui.size(moment["size_bytes"])
        click.echo(f"{printable(moment['at'])}  {when}{_SIDES[moment['side']]}, {size}")
        click.echo(f"  {render.named(moment['paths'], _SHOWN)}")
    click.echo("hint: devpod-rp sync undo [PATH] --at MOMENT", err=True)


@sync.command()
@name_option
@json_option
def plan(name: str | None, as_json: bool) -> None:
    """What the synchronisation would do now, on each side; changes nothing if it is halted."""
    found = _ask(name, "plan", as_json)["plan"]
    if as_json:
        render.document(found)
        return
    rows = [(side, kind, path) for side in ("pod", "here") for kind, paths in found[side].items() for path in paths]
    if not rows:
        click.echo("Nothing to do.")
    for side, kind, path in rows:
        click.echo(f"  {_SIDES[side]:<11} {kind:<9} {printable(path)}")


@sync.command()
@click.argument("path")
@name_option
@json_option
def why(path: str, name: str | None, as_json: bool) -> None:
    """Which rule decided about PATH, what follows from it, and what each side holds."""
    reason = _ask(name, "why", as_json, path=_relative(path))["why"]
    if as_json:
        render.document(reason)
        return
    click.echo(f"{printable(reason['path'])}: {reason['rule']}")
    render.facts(
        [
            ("therefore", reason["outcome"]),
            ("here", reason["here"]),
            ("pod", reason["pod"]),
            ("last equal", reason["last_agreed"]),
        ]
    )


def _ask(name: str | None, op: str, as_json: bool, **fields: Any) -> dict[str, Any]:
    """What the environment's keeper answers to *op*; a keeper is started for a pod that runs."""
    from devpod_rp import control

    environment = pick.environment(name, as_json=as_json)
    if not control.keeper_running(environment.name) and environment.status == "RUNNING":
        control.start_keeper(environment.name)
    return control.keeper_request(environment.name, op, timeout=_FLUSH_SECONDS, **fields)


def _relative(path: str) -> str:
    """*path* as the synchronisation names it: below the project folder, with slashes."""
    given = PurePath(path)
    if given.is_absolute() or ".." in given.parts:
        raise UsageError(f"{path} is not relative to the project folder.", hint="say it as in src/train.py.")
    return given.as_posix()


def _told(answer: dict[str, Any], key: str, as_json: bool, heading: str, nothing: str = "Nothing.") -> None:
    if as_json:
        render.document({key: answer[key]})
    elif not answer[key]:
        click.echo(nothing)
    else:
        click.echo(heading)
        for path in answer[key]:
            click.echo(f"  {printable(path)}")


def _version(version: dict[str, Any] | None) -> str:
    if version is None:
        return "absent"
    size = f", {ui.size(version['size'])}" if version["kind"] == "file" else ""
    changed = f", changed {render.age(version['modified'])} ago" if version["modified"] else ""
    return f"{version['kind']}{size}{changed}"


def _status(name: str | None, as_json: bool) -> dict[str, Any]:
    from devpod_rp.lifecycle.overview import sync_status

    return sync_status(pick.environment(name, as_json=as_json))


def _tell(name: str | None, op: str, as_json: bool, done: str) -> None:
    answer = _ask(name, op, as_json)
    if as_json:
        render.document(answer)
    else:
        click.echo(f"{done} ({sync_line(answer)}).")


def _show_remarks(kind: str, found: dict[str, Any]) -> None:
    for remark in found.get(kind, ()):
        click.echo(f"  {kind[:-1]}: {printable(remark['path'])}: {remark['reason']}")
