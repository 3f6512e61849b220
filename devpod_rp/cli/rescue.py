"""``rescue``, ``rescue list``, ``rescue restore``: saving files to the volume or here, and putting them back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from devpod_rp.cli import notice, pick, render, ui
from devpod_rp.cli.options import download_option, json_option, name_argument
from devpod_rp.errors import printable

if TYPE_CHECKING:
    from devpod_rp.environments import Environment

_SAVE = "save"


class SavingGroup(click.Group):
    """A group whose first command is meant when none is named: ``rescue NAME`` is ``rescue save NAME``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [_SAVE, *args]
        return super().parse_args(ctx, args)


@click.group(cls=SavingGroup)
def rescue() -> None:
    """Copy what a stop would destroy to the volume; list such copies; put them back.

    Without a subcommand it saves: `devpod-rp rescue [NAME]`.
    """


@rescue.command(_SAVE)
@name_argument
@download_option
@click.option("--volume", is_flag=True, help="With --download: what is only on the volume, not on the container disk.")
@json_option
def save(name: str | None, folder: Path | None, volume: bool, as_json: bool) -> int:
    """Copy what a stop would destroy to the volume, or with --download to a folder here, verified."""
    from devpod_rp.errors import ExitCode, UsageError
    from devpod_rp.lifecycle import overview
    from devpod_rp.lifecycle.risk import look

    if volume and folder is None:
        raise UsageError("What is only on the volume cannot be rescued to it.", hint="add --download DIR.")
    environment = overview.look_at(pick.environment(name, as_json=as_json))
    if folder is not None:
        return _download(environment, folder.expanduser().absolute(), volume=volume, as_json=as_json)
    with notice.when_long(f"rescue {environment.name}", notice.threshold(environment)), ui.progress() as progress:
        _, saved = look.rescue(environment, progress)
    if as_json:
        render.document({"rescue": saved.as_json() if saved else None})
    elif saved is None:
        click.echo("Nothing is at risk; nothing had to be saved.")
    else:
        click.echo(f"Saved {ui.files(saved.files)} ({ui.size(saved.bytes)}) to {saved.destination}.")
    return ExitCode.DONE


def _download(environment: Environment, folder: Path, *, volume: bool, as_json: bool) -> int:
    from devpod_rp.errors import ExitCode
    from devpod_rp.lifecycle.risk import look

    with notice.when_long(f"rescue {environment.name}", notice.threshold(environment)), ui.progress() as progress:
        report = look.check_volume(environment, progress) if volume else look.check(environment, progress)
        wanted = report.paths_to_rescue()
        done = look.bring(environment, wanted, folder, progress) if wanted else None
    if as_json:
        render.document({"download": done.as_json() if done else None})
    elif done is None:
        click.echo("Nothing is at risk; nothing had to be brought here.")
    else:
        already = f"; {done.present} were here already" if done.present else ""
        click.echo(f"Downloaded {ui.files(done.files)} ({ui.size(done.bytes)}) to {done.folder}{already}.")
        for path, reason in done.failed.items():
            click.echo(f"  not brought here: {printable(path)}: {reason}")
    return ExitCode.WOULD_LOSE_DATA if done and done.failed else ExitCode.DONE


@rescue.command("list")
@name_argument
@json_option
def list_(name: str | None, as_json: bool) -> None:
    """What was rescued to the volume, oldest first."""
    from devpod_rp.lifecycle import overview
    from devpod_rp.lifecycle.risk.restore import rescues

    found = rescues(overview.look_at(pick.environment(name, as_json=as_json)))
    if as_json:
        render.document({"rescues": [one.as_json() for one in found]})
        return
    if not found:
        click.echo("Nothing was rescued to this volume.")
    for one in found:
        cut = "" if one.complete else "  (cut off; its files are there to be copied by hand)"
        click.echo(f"{one.destination.rsplit('/', 1)[-1]}  {one.files} files  {ui.size(one.bytes)}{cut}")


@rescue.command()
@name_argument
@click.option(
    "--from",
    "moment",
    metavar="TIME",
    help="Only this rescue, as `rescue list` names it; default: all of the last container.",
)
@click.option("--all", "every", is_flag=True, help="All rescues of all containers: of each path its newest state.")
@click.option("--only", multiple=True, metavar="PATH", help="Only this file or directory on the pod (repeatable).")
@click.option("--overwrite", is_flag=True, help="Also replace files that somebody made on this pod.")
@json_option
def restore(
    name: str | None, moment: str | None, every: bool, only: tuple[str, ...], overwrite: bool, as_json: bool
) -> int:
    """Put rescued files back where they were, with their owners, modes and times.

    A file of the image is replaced. One that somebody made on this pod is kept and named, and the exit code is 7.
    """
    from devpod_rp.errors import ExitCode, UsageError
    from devpod_rp.lifecycle import overview
    from devpod_rp.lifecycle.risk.restore import restore as put_back

    if moment and every:
        raise UsageError("--from and --all exclude each other.")
    environment = overview.look_at(pick.environment(name, as_json=as_json))
    with ui.progress() as progress:
        done = put_back(environment, moment=moment, every=every, only=only, overwrite=overwrite, progress=progress)
    if as_json:
        render.document(done.as_json())
    else:
        already = f"; {len(done.present)} were there already" if done.present else ""
        click.echo(f"Put back {ui.files(len(done.restored))} ({ui.size(done.bytes)}){already}.")
        for path, reason in done.kept.items():
            click.echo(f"  not put back: {printable(path)}: {reason}")
        if done.kept:
            click.echo("hint: --overwrite replaces what is there.")
    return ExitCode.WOULD_LOSE_DATA if done.kept else ExitCode.DONE
