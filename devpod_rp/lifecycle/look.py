"""Asking the guard what a pod holds that exists nowhere else, and saving it."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from devpod_rp.environments import Environment
from devpod_rp.errors import DevpodError, UsageError, WouldLoseDataError
from devpod_rp.lifecycle import connect
from devpod_rp.progress import Event, Progress, silent

if TYPE_CHECKING:
    from collections.abc import Callable

    from devpod_rp.guard.report import Report
    from devpod_rp.guard.rescue import Rescue

    Decide = Callable[[Report], "Decision"]


class Decision(Enum):
    """What to do about files that the end of the pod would destroy."""

    RESCUE = "rescue"
    GIVE_UP = "give up"
    CANCEL = "cancel"


def volume_path(environment: Environment) -> str | None:
    """Where the environment's volume is mounted in the pod, or None if it has none."""
    return None if environment.volume.kind == "none" else environment.volume.path


def check(environment: Environment, progress: Progress = silent) -> Report:
    """What a stop would destroy at this moment.

    Raises:
        UnreachableError: the pod cannot be reached, so nothing can be said.
        GuardBlind: the agent is there but cannot look.
    """
    from devpod_rp.guard.report import inspect

    progress(Event("guard", "Looking for files that exist only on the container disk"))
    link = connect.open_link(environment)
    try:
        return inspect(link, volume_path=volume_path(environment))
    finally:
        link.close()


def rescue(environment: Environment, progress: Progress = silent) -> tuple[Report, Rescue | None]:
    """Copy everything at risk to the volume; no copy is made when nothing is at risk.

    Raises:
        UnreachableError: the pod cannot be reached.
        WouldLoseDataError: not everything could be saved; the message names what was not.
    """
    report = check(environment, progress)
    if not report.sole_copies:
        return report, None
    return report, save(environment, report, progress)


def save(environment: Environment, report: Report, progress: Progress) -> Rescue:
    """Copy what *report* lists to the volume, verified.

    Raises:
        WouldLoseDataError: a file could not be saved.
    """
    from devpod_rp.guard.rescue import rescue as copy

    if environment.volume.kind == "none":
        raise WouldLoseDataError(
            f"{environment.name} has no volume to save {len(report.sole_copies)} files to.",
            hint="copy them here first (scp works with the Host name), or give them up with --force.",
        )
    link = connect.open_link(environment)
    try:
        saved = copy(
            link,
            report.paths_to_rescue(),
            volume_path=environment.volume.path,
            progress=progress,
            size=report.size,
        )
    finally:
        link.close()
    if saved.failed:
        names = ", ".join(f"{path} ({reason})" for path, reason in list(saved.failed.items())[:5])
        raise WouldLoseDataError(
            f"{len(saved.failed)} files could not be saved to {saved.destination}: {names}.",
            hint="the pod still runs; save them by hand, or give them up with --force.",
        )
    return saved


def guarded(
    environment: Environment, decide: Decide, *, force: bool, progress: Progress
) -> tuple[Report | None, Rescue | None]:
    """Let the pod end only if nothing would be lost, or somebody said so.

    After a rescue the disk is looked at again: what was written in between counts too. With *force* a guard that
    cannot look is a warning; without, it stops the stop.

    Raises:
        WouldLoseDataError: something would be lost and nobody gave it up.
    """
    try:
        report = check(environment, progress)
    except DevpodError as error:
        if not force:
            raise WouldLoseDataError(
                f"The guard could not look at {environment.name}: {error.message}",
                hint=error.hint or "--force stops the pod without looking; its container disk is wiped.",
            ) from error
        progress(Event("guard", f"Stopping without looking: {error.message}", warning=True))
        return None, None
    saved: Rescue | None = None
    for _ in range(3):
        if force or report.safe_to_stop:
            return report, saved
        decision = decide(report)
        if decision is Decision.GIVE_UP:
            return report, saved
        if decision is Decision.CANCEL:
            break
        saved = save(environment, report, progress)
        report = check(environment, progress)
    raise would_lose(environment, report)


def check_volume(environment: Environment, progress: Progress = silent) -> Report:
    """What would be lost if the volume itself were destroyed: all on it that is not in the folder here.

    Raises:
        UnreachableError: the pod cannot be reached, so nothing can be said.
        GuardBlind: the agent is there but cannot look.
        UsageError: the environment has no volume.
    """
    from devpod_rp.guard.volume import inspect_volume

    if environment.volume.kind == "none":
        raise UsageError(f"{environment.name} has no volume.", hint=f"devpod-rp check {environment.name}")
    progress(Event("guard", "Looking for files that exist only on the volume"))
    link = connect.open_link(environment)
    try:
        return inspect_volume(
            link,
            volume_path=environment.volume.path,
            workspace=environment.workspace,
            folder=Path(environment.folder),
        )
    finally:
        link.close()


def guard_volume(environment: Environment, decide: Decide, *, force: bool, progress: Progress) -> None:
    """Let a volume disk die only if everything on it is in the folder here too, or somebody gave the rest up.

    Raises:
        WouldLoseDataError: it holds something that exists nowhere else, or nobody can look.
    """
    if force:
        return
    report = check_volume(environment, progress)
    if report.safe_to_stop or decide(report) is Decision.GIVE_UP:
        return
    if report.sole_copies:
        first = ", ".join(risk.path for risk in report.sole_copies[:5])
        lost = f"{len(report.sole_copies)} files ({report.size} bytes) exist only on the volume"
    else:
        first = ", ".join(f"{each.path} ({each.reason})" for each in report.problems[:3])
        lost = "Some places could not be looked into on the volume"
    raise WouldLoseDataError(
        f"{lost} of {environment.name}, which dies with its pod: {first}.",
        hint=f"copy what you need (scp -r {environment.host_alias}:{environment.volume.path} .), or give it up with "
        f"--force; devpod-rp check --volume {environment.name} lists them all.",
    )


def would_lose(environment: Environment, report: Report) -> WouldLoseDataError:
    """The refusal that names what would be lost."""
    if not report.sole_copies:
        blind = ", ".join(f"{each.path} ({each.reason})" for each in report.problems[:3])
        return WouldLoseDataError(
            f"Some places on the container disk of {environment.name} could not be looked into: {blind}.",
            hint="make them readable, or give up what may lie there with --force.",
        )
    paths = ", ".join(risk.path for risk in report.sole_copies[:3])
    more = f" and {len(report.sole_copies) - 3} more" if len(report.sole_copies) > 3 else ""
    return WouldLoseDataError(
        f"{len(report.sole_copies)} files exist only on the container disk of {environment.name}: {paths}{more}.",
        hint="--rescue saves them to the volume first; --force gives them up; devpod-rp check lists them all.",
    )
