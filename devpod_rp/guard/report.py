"""What would be lost if the pod stopped now: asks the agent, judges its answer, and says so in one report."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from devpod_rp.errors import WouldLoseDataError
from devpod_rp.guard import repositories as gits
from devpod_rp.guard import rules as rule_tables
from devpod_rp.guard.classify import Found, LeftOut, Rebuildable, Risk, judge, most_precious_first, rescue_order
from devpod_rp.guard.here import same_here
from devpod_rp.guard.kept_disk import KeptDisk
from devpod_rp.guard.repositories import Repository
from devpod_rp.guard.rules import Rules
from devpod_rp.guard.running import DanglingLink, DeletedButOpen, Process
from devpod_rp.pod.link import AgentLink, AgentRefused

log = logging.getLogger(__name__)

_BOOT_POLL_SECONDS = 0.25


class GuardBlind(WouldLoseDataError):
    """The guard could not look at the pod, so nobody can say that a stop is safe."""

    kind = "guard-blind"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"Cannot tell what is on the container disk: {reason}",
            hint="Nothing was stopped. Save what matters by hand, or give the container disk up with --force.",
        )


@dataclass(frozen=True)
class Problem:
    """A place the agent could not look into; what lies there is unknown and may be lost."""

    path: str
    reason: str

    def as_json(self) -> dict[str, object]:
        return {"path": self.path, "reason": self.reason}


@dataclass(frozen=True)
class Folder:
    """The files at risk below one directory, for people to read."""

    path: str
    files: int
    size: int
    risks: tuple[Risk, ...]


@dataclass(frozen=True)
class Report:
    """Everything known about what a stop would wipe.

    *volume_missing* says why the environment's volume path is no volume (then everything below it is at risk too);
    *baseline* is whether the boot's own files were recorded and could be told from the user's. *unkept* is why the
    container disk, which should be kept, could not be; *keeps_disk* whether a stop archives it first, and *kept_disks*
    are the archives that are there.
    """

    at_risk: tuple[Risk, ...]
    rebuildable: tuple[Rebuildable, ...]
    processes: tuple[Process, ...]
    problems: tuple[Problem, ...]
    left_out: tuple[LeftOut, ...]
    scanned_files: int
    seconds: float
    volume_missing: str | None = None
    baseline: bool = True
    repositories: tuple[Repository, ...] = ()
    deleted_but_open: tuple[DeletedButOpen, ...] = ()
    dangling: tuple[DanglingLink, ...] = ()
    unkept: str | None = None
    kept_disks: tuple[KeptDisk, ...] = ()
    keeps_disk: bool = False

    @property
    def sole_copies(self) -> tuple[Risk, ...]:
        return tuple(risk for risk in self.at_risk if risk.sole_copy)

    @property
    def safe_to_stop(self) -> bool:
        """Whether nothing exists only here, everything could be looked at, and what should be kept is."""
        return not self.sole_copies and not self.problems and self.unkept is None

    @property
    def size(self) -> int:
        """Bytes of the sole copies."""
        return sum(risk.size for risk in self.sole_copies)

    def paths_to_rescue(self) -> list[str]:
        """Every name of every sole copy, most precious first; of one kind the newest, then the smallest first."""
        return [path for risk in rescue_order(self.sole_copies) for path in (risk.path, *risk.other_names)]

    def without(self, kept: Collection[str], where: str) -> Report:
        """This report after copies of the paths in *kept* were made *where* ("in ~/saved") and proved equal."""
        risks = (
            replace(risk, sole_copy=False, reason=f"same content {where}")
            if risk.sole_copy and all(name in kept for name in _all_names(risk))
            else risk
            for risk in self.at_risk
        )
        return replace(self, at_risk=tuple(sorted(risks, key=lambda risk: not risk.sole_copy)))

    def folders(self, depth: int = 2) -> list[Folder]:
        """The files at risk by directory, at most *depth* names deep, largest total first."""
        grouped: dict[str, list[Risk]] = {}
        for risk in self.at_risk:
            names = risk.path.split("/")[1:-1]
            grouped.setdefault("/" + "/".join(names[:depth]), []).append(risk)
        folders = [
            Folder(path, len(risks), sum(r.size for r in risks), tuple(risks)) for path, risks in grouped.items()
        ]
        return sorted(folders, key=lambda folder: (-folder.size, folder.path))

    def as_json(self) -> dict[str, object]:
        return {
            "safe_to_stop": self.safe_to_stop,
            "at_risk": [risk.as_json() for risk in self.at_risk],
            "rebuildable": [one.as_json() for one in self.rebuildable],
            "repositories": [one.as_json() for one in self.repositories],
            "processes": [one.as_json() for one in self.processes],
            "deleted_but_open": [one.as_json() for one in self.deleted_but_open],
            "dangling": [one.as_json() for one in self.dangling],
            "scanned_files": self.scanned_files,
            "seconds": round(self.seconds, 3),
            "problems": [one.as_json() for one in self.problems],
            "left_out": [one.as_json() for one in self.left_out],
            "volume_missing": self.volume_missing,
            "baseline": self.baseline,
            "keeps_disk": self.keeps_disk,
            "kept_disks": [each.as_json() for each in self.kept_disks],
        }


class Clock(Protocol):
    def __call__(self) -> float: ...


def inspect(
    link: AgentLink, *, volume_path: str | None, rules: Rules | None = None, folder: Path | None = None
) -> Report:
    """Look at the container disk of the pod behind *link*; *volume_path* None means the environment has no volume.

    *rules* are the built-in ones unless given. A file with the same content in *folder* here is no sole copy.

    Raises:
        GuardBlind: the agent cannot look. A dead link raises `LinkLost`; either way nothing is known to be safe.
    """
    volume_paths = [] if volume_path is None else [volume_path]
    rules = rules or rule_tables.builtin()
    try:
        found, summary = _scan(link, volume_paths)
        verdict = judge(found, rules, volume_path if summary["volumes"] else None)
        unnamed = tuple(_that_matter((DeletedButOpen(**each) for each in summary["deleted_but_open"]), rules))
        every = (*verdict.at_risk, *_held(unnamed, rules))
        copied = _copied(link, every, volume_paths) if summary["volumes"] else frozenset()
    except AgentRefused as refused:
        raise GuardBlind(refused.message) from refused
    risks = [replace(risk, sole_copy=risk.sole_copy and not _all_names(risk) <= copied) for risk in every]
    packages = tuple(Rebuildable(**package) for package in summary["packages"])
    repositories = gits.relevant((gits.read(each) for each in summary["repositories"]), risks)
    risks = gits.explained((_reworded(risk) for risk in risks), repositories)
    report = Report(
        at_risk=tuple(most_precious_first(risks, rules)),
        rebuildable=packages + verdict.rebuildable + gits.clones(repositories),
        processes=tuple(Process(**each) for each in summary["processes"]),
        problems=(
            *(Problem(path, reason) for path, reason in sorted(summary["problems"].items())),
            *(Problem(each.path, each.reason) for each in unnamed if each.written and not each.name),
        ),
        left_out=verdict.left_out,
        scanned_files=int(summary["scanned"]),
        seconds=float(summary["seconds"]),
        volume_missing=next(iter(summary["disguised"].values()), None),
        baseline=bool(summary["baseline"]),
        repositories=repositories,
        deleted_but_open=unnamed,
        dangling=tuple(DanglingLink(path, target) for path, target in summary["dangling"]),
    )
    if folder is not None:
        report = _beside(report, link, folder)
    log.info(
        "guard-looked scanned=%d at_risk=%d sole_copies=%d problems=%d seconds=%.2f",
        report.scanned_files, len(report.at_risk), len(report.sole_copies), len(report.problems), report.seconds,
    )  # fmt: skip
    return report


def record_baseline(
    link: AgentLink,
    *,
    volume_path: str | None = None,
    boot_seconds: float = 10.0,
    clock: Clock = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> bool:
    """Remember what the boot of this container wrote, so that it is not taken for the user's; True if recorded now.

    Call it as soon as the agent answers on a container that was just started, before a person can log in. Waits up
    to *boot_seconds* for the start script to end, because RunPod's writes to ``~/.bashrc`` after sshd is up. A
    container disk is recorded once: later calls, also after a restart in place, change nothing.

    Raises:
        GuardBlind: the agent cannot look.
    """
    volume_paths = [] if volume_path is None else [volume_path]
    deadline = clock() + boot_seconds
    try:
        while True:
            still_waiting = clock() < deadline
            answer = link.call("exposure.baseline", volume_paths=volume_paths, only_after_boot=still_waiting).header
            if answer["reason"] != "booting":
                break
            wait(_BOOT_POLL_SECONDS)
    except AgentRefused as refused:
        raise GuardBlind(refused.message) from refused
    log.info("guard-baseline recorded=%s reason=%s files=%s", answer["recorded"], answer["reason"], answer.get("files"))
    return bool(answer["recorded"])


def _scan(link: AgentLink, volume_paths: list[str]) -> tuple[list[Found], dict[str, Any]]:
    found: list[Found] = []
    summary: dict[str, Any] | None = None
    for frame in link.stream("exposure.scan", volume_paths=volume_paths):
        if frame.header["rows"]:
            found.extend(_read_rows(json.loads(frame.body)))
        else:
            summary = json.loads(frame.body)
    if summary is None:
        raise GuardBlind("the agent's answer ended early")
    return found, summary


def _read_rows(rows: Iterable[list[Any]]) -> Iterator[Found]:
    for path, size, mtime_ns, since, inode, target in rows:
        yield Found(path, size, mtime_ns, after_boot=since == "boot", inode=inode, target=target)


def _copied(link: AgentLink, risks: tuple[Risk, ...], volume_paths: list[str]) -> frozenset[str]:
    paths = [path for risk in risks if risk.sole_copy for path in (risk.path, *risk.other_names)]
    if not paths:
        return frozenset()
    frame = link.call("exposure.copies", json.dumps(paths).encode("ascii"), volume_paths=volume_paths)
    return frozenset(json.loads(frame.body))


def _that_matter(unnamed: Iterable[DeletedButOpen], rules: Rules) -> Iterator[DeletedButOpen]:
    """Those that would be at risk if they had their name still: an editor server's old library is none."""
    for each in unnamed:
        if judge([Found(each.path, each.size)], rules, None).at_risk:
            yield each


def _held(unnamed: Iterable[DeletedButOpen], rules: Rules) -> Iterator[Risk]:
    """What a process still writes to, as a file at risk under the name it can be saved by."""
    for each in unnamed:
        if each.written and each.name:
            [risk] = judge([Found(each.path, each.size)], rules, None).at_risk
            writer = f"process {each.pid} still writes to it, only on the container disk"
            yield replace(risk, path=each.name, reason=f"{risk.reason.partition(',')[0]}, deleted, but {writer}")


def _beside(report: Report, link: AgentLink, folder: Path) -> Report:
    try:
        return report.without(same_here(link, report.sole_copies, folder), f"in {folder}")
    except AgentRefused as refused:
        raise GuardBlind(refused.message) from refused


def _all_names(risk: Risk) -> frozenset[str]:
    return frozenset((risk.path, *risk.other_names))


def _reworded(risk: Risk) -> Risk:
    if risk.sole_copy or "link into" in risk.reason:
        return risk
    return replace(risk, reason=risk.reason.replace("only on the container disk", "same content on the volume"))
