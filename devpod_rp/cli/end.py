"""``stop``, ``delete`` and ``check``: everything that asks the guard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from devpod_rp.cli import pick, render, ui
from devpod_rp.cli.options import json_option, name_argument

if TYPE_CHECKING:
    from devpod_rp.guard.report import Report
    from devpod_rp.lifecycle.look import Decide

_SHOWN_FILES = 12

rescue_option = click.option("--rescue", "save", is_flag=True, help="Copy what would be lost to the volume first.")
force_option = click.option("--force", is_flag=True, help="Go on even if something is lost.")


@click.command()
@name_argument
@rescue_option
@force_option
@click.option("--in", "after", metavar="TIME", help="Not now: after so long (2h). The pod does it, laptop or not.")
@click.option("--at", "at", metavar="TIME", help="Not now: at this time (22:00). The pod does it, laptop or not.")
@click.option("--not-later", is_flag=True, help="Take back an earlier --in or --at.")
@json_option
def stop(
    name: str | None, save: bool, force: bool, after: str | None, at: str | None, not_later: bool, as_json: bool
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
    with ui.progress() as progress:
        stopped = end(environment.name, _decider(save, as_json), progress, force=force)
    ended = stopped.environment
    if as_json:
        render.document(
            {
                "name": ended.name,
                "status": ended.status,
                "was_running": stopped.was_running,
                "rescue": stopped.rescue.as_json() if stopped.rescue else None,
                "at_risk": [risk.as_json() for risk in stopped.report.at_risk] if stopped.report else [],
            }
        )
        return
    if not stopped.was_running:
        click.echo(f"{ended.name} was not running ({ended.status}).")
        return
    if stopped.rescue:
        click.echo(
            f"Saved {stopped.rescue.files} files ({ui.size(stopped.rescue.bytes)}) to {stopped.rescue.destination}."
        )
    what = "hibernates: its pod is gone, its volume stays" if ended.status == "HIBERNATED" else "is stopped"
    click.echo(f"{ended.name} {what}. devpod-rp up {ended.name} brings it back.")


@click.command()
@name_argument
@rescue_option
@force_option
@click.option("--yes", "-y", is_flag=True, help="Do not ask; still refuses to lose anything.")
@json_option
def delete(name: str | None, save: bool, force: bool, yes: bool, as_json: bool) -> None:
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
        deleted = end(environment.name, _decider(save, as_json), _decider_of_volume(as_json), progress, force=force)
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
@json_option
def check(name: str | None, volume: bool, as_json: bool) -> None:
    """Say what a stop would destroy: files that exist only on the container disk."""
    from devpod_rp.lifecycle import look, overview

    environment = overview.look_at(pick.environment(name, as_json=as_json))
    with ui.progress() as progress:
        report = look.check_volume(environment, progress) if volume else look.check(environment, progress)
    if as_json:
        render.document(report.as_json())
    else:
        _show_report(report, "volume" if volume else "container disk")


def _decider(save: bool, as_json: bool) -> Decide:
    """What to do about files at risk: the flag's answer, else the person's, else a refusal."""
    from devpod_rp.lifecycle.look import Decision

    def decide(report: Report) -> Decision:
        if save:
            return Decision.RESCUE
        if not ui.interactive(as_json):
            return Decision.CANCEL
        with ui.undisturbed():
            _show_report(report)
            return ui.choose(
                "These would be lost. What now?",
                [
                    ("Save them to the volume, then go on", Decision.RESCUE),
                    ("Do nothing, leave the pod running", Decision.CANCEL),
                    ("Give them up and go on", Decision.GIVE_UP),
                ],
            )

    return decide


def _decider_of_volume(as_json: bool) -> Decide:
    """What to do about files that only the volume has: the person's answer, else a refusal."""
    from devpod_rp.lifecycle.look import Decision

    def decide(report: Report) -> Decision:
        if not ui.interactive(as_json):
            return Decision.CANCEL
        with ui.undisturbed():
            _show_report(report, "volume")
            return ui.choose(
                "The volume dies with the pod. What now?",
                [
                    ("Do nothing, leave the pod running", Decision.CANCEL),
                    ("Give them up and delete", Decision.GIVE_UP),
                ],
            )

    return decide


def _show_report(report: Report, where: str = "container disk") -> None:
    counted = f"{report.scanned_files} files looked at in {report.seconds:.1f} s"
    if report.safe_to_stop:
        click.echo(
            f"Safe to {'delete' if where == 'volume' else 'stop'}: nothing exists only on the {where} ({counted})."
        )
    if report.sole_copies:
        click.echo(f"{len(report.sole_copies)} files ({ui.size(report.size)}) exist only on the {where} ({counted}):")
        for risk in report.sole_copies[:_SHOWN_FILES]:
            click.echo(f"  {_readable(risk.path)}  {ui.size(risk.size)}  {risk.reason}")
        if len(report.sole_copies) > _SHOWN_FILES:
            click.echo(f"  and {len(report.sole_copies) - _SHOWN_FILES} more; --json lists them all")
    for problem in report.problems:
        click.echo(f"  could not look into {_readable(problem.path)}: {problem.reason}")
    if report.rebuildable:
        names = ", ".join(each.name for each in report.rebuildable[:8])
        click.echo(f"Can be brought back: {names}")
    for process in report.processes[:5]:
        click.echo(f"  still running: {process.command} (pid {process.pid})")


def _readable(path: str) -> str:
    """A path that cannot play tricks with the terminal."""
    return path if path.isprintable() else repr(path)
