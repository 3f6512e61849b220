"""``stop``, ``delete`` and ``check``: everything that asks the guard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from devpod_rp.cli import decide, notice, pick, render, ui
from devpod_rp.cli.options import download_option, json_option, name_argument
from devpod_rp.errors import printable

if TYPE_CHECKING:
    from devpod_rp.guard.kept_disk import KeptDisk
    from devpod_rp.lifecycle.risk.look import Guarded

rescue_option = click.option("--rescue", "save", is_flag=True, help="Copy what would be lost to the volume first.")
force_option = click.option("--force", is_flag=True, help="Go on even if something is lost.")


@click.command()
@name_argument
@rescue_option
@download_option
@force_option
@click.option(
    "--keep-disk/--no-keep-disk",
    default=None,
    help="Keep the whole container disk on the volume, this time and from now on; or not this time.",
)
@click.option("--in", "after", metavar="TIME", help="Not now: after so long (2h). The pod does it, laptop or not.")
@click.option("--at", "at", metavar="TIME", help="Not now: at this time (22:00). The pod does it, laptop or not.")
@click.option("--not-later", is_flag=True, help="Take back an earlier --in or --at.")
@json_option
def stop(
    name: str | None,
    save: bool,
    folder: Path | None,
    force: bool,
    keep_disk: bool | None,
    after: str | None,
    at: str | None,
    not_later: bool,
    as_json: bool,
) -> None:
    """Save what matters, then stop the pod.

    Without a terminal it refuses (exit code 7) while something exists only on the container disk. A later stop
    (--in, --at) saves that to the volume first; if it cannot be saved, the pod runs on and says so.
    """
    from devpod_rp.cli import later
    from devpod_rp.lifecycle.stop import stop as end

    environment = pick.environment(name, as_json=as_json)
    if after or at or not_later:
        later.plan_stop(environment, after=after, at=at, as_json=as_json)
        return
    with notice.when_long(f"stop {environment.name}", notice.threshold(environment)), ui.progress() as progress:
        decider = decide.decider(environment, save=save, folder=folder, as_json=as_json, end="stop")
        stopped = end(environment.name, decider, progress, force=force, keep_disk=keep_disk)
    ended = stopped.environment
    if as_json:
        render.document(
            {
                "name": ended.name,
                "status": ended.status,
                "was_running": stopped.was_running,
                "kept_disk": stopped.kept.as_json() if stopped.kept else None,
                **_as_json(stopped.guarded),
            }
        )
        return
    if not stopped.was_running:
        click.echo(f"{ended.name} was not running ({ended.status}).")
        return
    _tell(stopped.guarded)
    if stopped.kept:
        _tell_kept(stopped.kept)
    what = "hibernates: its pod is gone, its volume stays" if ended.status == "HIBERNATED" else "is stopped"
    click.echo(f"{ended.name} {what}. devpod-rp up {ended.name} brings it back.")


@click.command()
@name_argument
@rescue_option
@download_option
@force_option
@click.option("--yes", "-y", is_flag=True, help="Do not ask; still refuses to lose anything.")
@json_option
def delete(name: str | None, save: bool, folder: Path | None, force: bool, yes: bool, as_json: bool) -> None:
    """Save what matters, then terminate the pod and forget the environment.

    A volume disk dies with its pod; a network volume is kept.
    """
    from devpod_rp.errors import InterruptedByUserError
    from devpod_rp.lifecycle.delete import delete as end

    environment = pick.environment(name, as_json=as_json)
    if not yes:
        if not ui.interactive(as_json):
            raise ui.need_terminal(f"delete would terminate {environment.name} for ever", "--yes")
        if not ui.confirm(f"Terminate {environment.name} and everything on its volume disk?", default=False):
            raise InterruptedByUserError("Nothing was deleted.")
    with ui.progress() as progress:
        of_disk, of_volume = (
            decide.decider(environment, save=save, folder=folder, as_json=as_json, end="delete", where=where)
            for where in ("container disk", "volume")
        )
        deleted = end(environment.name, of_disk, of_volume, progress, force=force)
    if as_json:
        render.document({"name": environment.name, "status": "DELETED", "kept_volume": deleted.kept_volume})
        return
    click.echo(f"{environment.name} is deleted.")
    if deleted.kept_volume:
        click.echo(
            f"Its network volume {deleted.kept_volume} is kept and still billed; "
            f"devpod-rp volumes delete {deleted.kept_volume} ends that."
        )


@click.command()
@name_argument
@click.option("--volume", is_flag=True, help="What is only on the volume: lost if the volume is deleted.")
@click.option("--exit-code", "strict", is_flag=True, help="End with 7 if something would be lost, for scripts.")
@json_option
def check(name: str | None, volume: bool, strict: bool, as_json: bool) -> int:
    """Say what a stop would destroy: files that exist only on the container disk."""
    from devpod_rp.errors import ExitCode
    from devpod_rp.lifecycle import overview
    from devpod_rp.lifecycle.risk import look

    environment = overview.look_at(pick.environment(name, as_json=as_json))
    with ui.progress() as progress:
        report = look.check_volume(environment, progress) if volume else look.check(environment, progress)
    if as_json:
        render.document(report.as_json())
    else:
        decide.show(report, "volume" if volume else "container disk")
    return ExitCode.WOULD_LOSE_DATA if strict and not report.safe_to_stop else ExitCode.DONE


def _as_json(guarded: Guarded) -> dict[str, Any]:
    return {
        "rescue": guarded.rescue.as_json() if guarded.rescue else None,
        "download": guarded.download.as_json() if guarded.download else None,
        "at_risk": [risk.as_json() for risk in guarded.report.at_risk] if guarded.report else [],
    }


def _tell_kept(kept: KeptDisk) -> None:
    """Say what of the container disk is on the volume."""
    amount = f"{ui.files(kept.files)}, {ui.size(kept.size)}, {ui.size(kept.stored)} packed"
    if not kept.fresh:
        click.echo(f"What is kept of the container disk is as it was at {kept.created_at} ({amount}).")
        return
    what = "the container disk" if kept.whole else "what [persist] archives of the container disk"
    click.echo(f"Kept {what}: {amount}, in {kept.seconds:.1f} s; up brings it back.")
    if kept.whole and not kept.base_known:
        click.echo("  What was deleted of the image is not noted: the disk was not to be kept when the pod started.")
    for path, reason in (kept.failed or {}).items():
        click.echo(f"  not kept: {printable(path)}: {reason}")


def _tell(guarded: Guarded) -> None:
    """Say what was saved where."""
    rescue, download = guarded.rescue, guarded.download
    if rescue and rescue.files:
        click.echo(f"Saved {ui.files(rescue.files)} ({ui.size(rescue.bytes)}) to {rescue.destination}.")
    if download and download.files:
        click.echo(f"Downloaded {ui.files(download.files)} ({ui.size(download.bytes)}) to {download.folder}.")
