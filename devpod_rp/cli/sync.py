"""``devpod-rp sync …``: asking and telling the synchronisation."""

from __future__ import annotations

from typing import Any

import click

from devpod_rp.cli import pick, render
from devpod_rp.cli.options import json_option, name_argument
from devpod_rp.cli.overview import sync_line

_FLUSH_SECONDS = 3600.0


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
    from devpod_rp.errors import ExitCode

    found = _status(name, as_json)
    if as_json:
        render.document({"conflicts": found["conflicts"]})
    elif found["conflicts"]:
        _show_remarks("conflicts", found)
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


def _status(name: str | None, as_json: bool) -> dict[str, Any]:
    from devpod_rp.lifecycle.overview import sync_status

    return sync_status(pick.environment(name, as_json=as_json))


def _tell(name: str | None, op: str, as_json: bool, done: str) -> None:
    from devpod_rp import control

    environment = pick.environment(name, as_json=as_json)
    if not control.keeper_running(environment.name) and environment.status == "RUNNING":
        control.start_keeper(environment.name)
    answer = control.keeper_request(environment.name, op, timeout=_FLUSH_SECONDS)
    if as_json:
        render.document(answer)
    else:
        click.echo(f"{done} ({sync_line(answer)}).")


def _show_remarks(kind: str, found: dict[str, Any]) -> None:
    for remark in found.get(kind, ()):
        click.echo(f"  {kind[:-1]}: {remark['path']}: {remark['reason']}")
