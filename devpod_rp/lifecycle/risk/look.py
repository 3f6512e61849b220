"""Asking the guard what a pod holds that exists nowhere else, and saving it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from devpod_rp.environments import Environment
from devpod_rp.errors import DevpodError, UsageError, WouldLoseDataError, printable
from devpod_rp.lifecycle.reach import connect
from devpod_rp.lifecycle.risk.decision import Act, Decide
from devpod_rp.progress import Event, Progress, silent

if TYPE_CHECKING:
    from devpod_rp.agent.files.changes import Stamp
    from devpod_rp.guard.download import Download
    from devpod_rp.guard.report import Report
    from devpod_rp.guard.rescue import Rescue
    from devpod_rp.pod.link import AgentLink

_ROUNDS = 5
_NAMED = 5


@dataclass(frozen=True)
class Guarded:
    """How the last look before the end of a pod went; *report* is None if it was forced away."""

    report: Report | None = None
    rescue: Rescue | None = None
    download: Download | None = None


def volume_path(environment: Environment) -> str | None:
    """Where the environment's volume is mounted in the pod, or None if it has none."""
    return None if environment.volume.kind == "none" else environment.volume.path


def check(environment: Environment, progress: Progress = silent) -> Report:
    """What a stop would destroy at this moment.

    Raises:
        UnreachableError: the pod cannot be reached, so nothing can be said.
        GuardBlind: the agent is there but cannot look.
    """
    from devpod_rp.guard import rules
    from devpod_rp.guard.kept_disk import kept_disks
    from devpod_rp.guard.report import inspect

    progress(Event("guard", "Looking for files that exist only on the container disk"))
    volume = volume_path(environment)
    link = connect.open_link(environment)
    try:
        report = inspect(
            link, volume_path=volume, rules=rules.of_spec(environment.spec), folder=Path(environment.folder)
        )
        _note(environment, report, link, progress)
        kept = tuple(kept_disks(link, volume, environment.name)) if volume else ()
        return dataclasses.replace(report, kept_disks=kept, keeps_disk=bool(environment.spec.get("keep_disk")))
    finally:
        link.close()


def _note(environment: Environment, report: Report, link: AgentLink, progress: Progress) -> None:
    """Note what is installed; packages are nobody's work, so a note that fails is told and stops nothing."""
    from devpod_rp.guard import replay

    if environment.volume.kind == "none" or report.volume_missing:
        return
    try:
        replay.note(link, environment.volume.path, environment.name, report.rebuildable)
    except replay.ReplayRefused as refused:
        progress(Event("guard", refused.message, warning=True))


def rescue(environment: Environment, progress: Progress = silent) -> tuple[Report, Rescue | None]:
    """Copy everything at risk to the volume; no copy is made when nothing is at risk.

    Raises:
        UnreachableError: the pod cannot be reached.
        WouldLoseDataError: not everything could be saved; the message names what was not.
    """
    report = check(environment, progress)
    if not report.sole_copies:
        return report, None
    saved = save(environment, report.paths_to_rescue(), progress, size=report.size)
    if saved.no_room:
        raise _too_small(environment, report, saved)
    if saved.failed:
        raise WouldLoseDataError(
            f"{len(saved.failed)} files could not be saved to {saved.destination}: {_reasons(saved.failed)}.",
            hint="the pod still runs; bring them here with rescue --download DIR, or give them up with --force.",
        )
    return report, saved


def _too_small(environment: Environment, report: Report, saved: Rescue) -> WouldLoseDataError:
    left = sorted((risk for risk in report.sole_copies if risk.path in saved.no_room), key=lambda risk: -risk.size)
    named = ", ".join(f"{printable(risk.path)} ({risk.size} bytes)" for risk in left[:_NAMED])
    more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
    done = f"{saved.files} files are saved in {saved.destination}; " if saved.destination else ""
    return WouldLoseDataError(
        f"The volume of {environment.name} is too small: {done}{len(left)} files ({sum(r.size for r in left)} bytes) "
        f"do not fit: {named}{more}.",
        hint=f"devpod-rp rescue --download DIR {environment.name} brings them here; or make room on the volume.",
    )


def save(
    environment: Environment, paths: Sequence[str], progress: Progress = silent, *, size: int | None = None
) -> Rescue:
    """Copy *paths* to the volume, verified; look at its *failed*.

    Raises:
        WouldLoseDataError: nothing was saved.
    """
    from devpod_rp.guard.rescue import rescue as copy

    if environment.volume.kind == "none":
        raise WouldLoseDataError(
            f"{environment.name} has no volume to save {len(paths)} files to.",
            hint="bring them here with --download DIR, or give them up with --force.",
        )
    volume = environment.volume
    link = connect.open_link(environment)
    try:
        return copy(
            link,
            paths,
            volume_path=volume.path,
            volume_bytes=volume.size_gb * 10**9 if volume.size_gb else None,
            progress=progress,
            size=size,
        )
    finally:
        link.close()


def bring(environment: Environment, paths: Sequence[str], folder: Path, progress: Progress = silent) -> Download:
    """Bring *paths* of the pod to *folder* here, verified; look at its *failed*. The same call goes on after a cut.

    Raises:
        UnreachableError: the pod cannot be reached, or the connection died.
        UsageError: *folder* cannot be used.
        WouldLoseDataError: this machine is full.
    """
    from devpod_rp.guard.download import download

    link = connect.open_link(environment)
    try:
        return download(link, paths, folder, progress=progress)
    finally:
        link.close()


def guarded(
    environment: Environment, decide: Decide, *, force: bool, progress: Progress, unkept: str | None = None
) -> Guarded:
    """Let the pod end only if nothing would be lost, or somebody said so. *unkept* is why its disk could not be kept.

    After a rescue or a download the disk is looked at again: what was written in between counts too. With *force* a
    guard that cannot look is a warning; without, it stops the stop.

    Raises:
        WouldLoseDataError: something would be lost and nobody gave it up.
    """
    try:
        return _settled(
            environment,
            lambda: dataclasses.replace(check(environment, progress), unkept=unkept),
            decide,
            would_lose,
            progress,
            force=force,
        )
    except DevpodError as error:
        if not force:
            if isinstance(error, WouldLoseDataError):
                raise
            raise WouldLoseDataError(
                f"The guard could not look at {environment.name}: {error.message}",
                hint=error.hint or "--force stops the pod without looking; its container disk is wiped.",
            ) from error
        progress(Event("guard", f"Stopping without looking: {error.message}", warning=True))
        return Guarded()


def _settled(
    environment: Environment,
    inspect: Callable[[], Report],
    decide: Decide,
    refusal: Callable[[Environment, Report], WouldLoseDataError],
    progress: Progress,
    *,
    force: bool = False,
) -> Guarded:
    """Look, ask and act until nothing is at risk or somebody gave the rest up; else raise *refusal*."""
    saved: Rescue | None = None
    brought: Download | None = None
    here: dict[str, Stamp] = {}
    failed: Mapping[str, str] = {}
    acted = False
    for turn in range(_ROUNDS + 1):
        report = inspect()
        if here and brought is not None:
            report = report.without(_still_equal(environment, here), f"in {brought.folder}")
        # Who let what is at risk be saved knows that the rest of the disk goes.
        if acted and report.unkept is not None:
            report = dataclasses.replace(report, unkept=None)
        if force or report.safe_to_stop:
            return Guarded(report, saved, brought)
        if turn == _ROUNDS:
            break
        decision = decide(report)
        if decision.act is Act.GIVE_UP:
            return Guarded(report, saved, brought)
        if decision.act is Act.CANCEL:
            break
        wanted = decision.wanted(report)
        acted = True
        if not wanted and report.unkept is not None and not report.sole_copies:
            continue
        if not wanted:
            break
        if decision.act is Act.RESCUE:
            size = sum(risk.size for risk in report.sole_copies if risk.path in wanted)
            latest = save(environment, wanted, progress, size=size)
            saved = latest if latest.files or saved is None else saved
            failed = latest.failed
        else:
            assert decision.folder is not None
            brought = bring(environment, wanted, decision.folder, progress)
            here.update(brought.stamps)
            failed = brought.failed
        if failed:
            progress(Event("guard", f"Not saved: {_reasons(failed)}", warning=True))
    error = refusal(environment, report)
    if failed:
        raise WouldLoseDataError(f"{error.message} Not saved: {_reasons(failed)}.", hint=error.hint)
    raise error


def _still_equal(environment: Environment, stamps: dict[str, Stamp]) -> frozenset[str]:
    from devpod_rp.guard.taken import unchanged

    link = connect.open_link(environment)
    try:
        return unchanged(link, stamps)
    finally:
        link.close()


def _many(report: Report) -> str:
    count = len(report.sole_copies)
    return "1 file exists" if count == 1 else f"{count} files exist"


def _reasons(failed: Mapping[str, str]) -> str:
    more = f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
    return ", ".join(f"{printable(path)} ({reason})" for path, reason in list(failed.items())[:_NAMED]) + more


def check_volume(environment: Environment, progress: Progress = silent) -> Report:
    """What would be lost if the volume itself were destroyed: all on it that is not in the folder here.

    Raises:
        UnreachableError: the pod cannot be reached, so nothing can be said.
        GuardBlind: the agent is there but cannot look.
        UsageError: the environment has no volume.
    """
    from devpod_rp.guard.volume import Here, inspect_volume
    from devpod_rp.lifecycle.reach.syncing import synchronised

    if environment.volume.kind == "none":
        raise UsageError(f"{environment.name} has no volume.", hint=f"devpod-rp check {environment.name}")
    progress(Event("guard", "Looking for files that exist only on the volume"))
    link = connect.open_link(environment)
    try:
        here = Here(Path(environment.folder), environment.workspace, synchronised(environment))
        return inspect_volume(link, volume_path=environment.volume.path, here=here)
    finally:
        link.close()


def guard_volume(environment: Environment, decide: Decide, *, force: bool, progress: Progress) -> None:
    """Let a volume disk die only if everything on it is in the folder here too, or somebody gave the rest up.

    Raises:
        WouldLoseDataError: it holds something that exists nowhere else, or nobody can look.
    """
    if force:
        return
    _settled(environment, lambda: check_volume(environment, progress), decide, _would_lose_volume, progress)


def _would_lose_volume(environment: Environment, report: Report) -> WouldLoseDataError:
    if report.sole_copies:
        first = ", ".join(printable(risk.path) for risk in report.sole_copies[:_NAMED])
        lost = f"{len(report.sole_copies)} files ({report.size} bytes) exist only on the volume"
    else:
        first = ", ".join(f"{printable(each.path)} ({each.reason})" for each in report.problems[:3])
        lost = "Some places could not be looked into on the volume"
    return WouldLoseDataError(
        f"{lost} of {environment.name}, which dies with its pod: {first}.",
        hint=f"--download DIR brings them here first; --force gives them up; devpod-rp check --volume "
        f"{environment.name} lists them all.",
    )


def would_lose(environment: Environment, report: Report) -> WouldLoseDataError:
    """The refusal that names what would be lost."""
    if report.unkept is not None and not report.sole_copies and not report.problems:
        return WouldLoseDataError(
            f"The container disk of {environment.name} is to be kept and was not: {report.unkept}",
            hint="--no-keep-disk stops without it; --force too, looking at nothing.",
        )
    if not report.sole_copies:
        blind = ", ".join(f"{printable(each.path)} ({each.reason})" for each in report.problems[:3])
        return WouldLoseDataError(
            f"Some places on the container disk of {environment.name} could not be looked into: {blind}.",
            hint="make them readable, or give up what may lie there with --force.",
        )
    paths = ", ".join(printable(risk.path) for risk in report.sole_copies[:3])
    more = f" and {len(report.sole_copies) - 3} more" if len(report.sole_copies) > 3 else ""
    return WouldLoseDataError(
        f"{_many(report)} only on the container disk of {environment.name}: {paths}{more}.",
        hint="--rescue saves them to the volume first, --download DIR here; --force gives them up; devpod-rp check "
        "lists them all.",
    )
