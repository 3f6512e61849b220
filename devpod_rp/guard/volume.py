"""What would be lost if the volume itself were destroyed: everything on it that is not in the folder here."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from devpod_rp.agent.files import tree
from devpod_rp.guard import repositories as gits
from devpod_rp.guard import rules as rule_tables
from devpod_rp.guard.classify import Found, judge, most_precious_first
from devpod_rp.guard.report import GuardBlind, Problem, Report
from devpod_rp.pod.link import AgentLink, AgentRefused


@dataclass(frozen=True)
class Here:
    """The folder on this machine that is synchronised to *workspace* on the pod.

    *synchronised* are the relative paths that both sides had when they were last compared.
    """

    folder: Path
    workspace: str
    synchronised: Collection[str] = frozenset()


def inspect_volume(link: AgentLink, *, volume_path: str, here: Here) -> Report:
    """Look at a volume disk that is about to die with its pod.

    A file is no sole copy if the same relative path *here* holds the same content, or if a clone of the git repository
    that it lies in brings it back. The reason of each risk says whether it was ever synchronised, and if another
    version is here, which of them is newer.

    Raises:
        GuardBlind: the agent cannot look.
    """
    started = time.monotonic()
    volume = volume_path.rstrip("/")
    below = "" if here.workspace == volume else here.workspace[len(volume) + 1 :] + "/"
    try:
        rows, problems = _holdings(link, volume)
        same, others = _compared(link, volume, below, here.folder, rows)
        left = [row for row in rows if row[0] not in same]
        found = _repositories(link, volume, [path for path, _, _ in left])
    except AgentRefused as refused:
        raise GuardBlind(refused.message) from refused
    rules = rule_tables.builtin()
    back = frozenset(found["paths"])
    verdict = judge(
        (Found(f"{volume}/{path}", size, mtime) for path, size, mtime in left if path not in back), rules, None
    )
    risks = []
    for risk in verdict.at_risk:
        why = _why(risk.path[len(volume) + 1 :], risk.mtime_ns, below, here, others)
        kind = risk.reason.split(",")[0]
        risks.append(replace(risk, reason=f"{kind}, {why}, only on the volume, which dies with the pod"))
    repositories = gits.relevant((gits.read(each) for each in found["repositories"]), risks)
    return Report(
        at_risk=tuple(most_precious_first(gits.explained(risks, repositories), rules)),
        rebuildable=verdict.rebuildable + gits.clones(repositories),
        processes=(),
        problems=tuple(Problem(f"{volume}/{path}", reason) for path, reason in sorted(problems.items())),
        left_out=verdict.left_out,
        scanned_files=len(rows),
        seconds=time.monotonic() - started,
        repositories=repositories,
    )


def _why(path: str, mtime_ns: int, below: str, here: Here, others: Mapping[str, int]) -> str:
    if not path.startswith(below):
        return "never synchronised"
    if path in others:
        return "newer than here" if mtime_ns > others[path] else "differs from what is here"
    if path[len(below) :] in here.synchronised:
        return "deleted here since it was synchronised"
    return "never synchronised"


def _holdings(link: AgentLink, volume: str) -> tuple[list[tuple[str, int, int]], dict[str, str]]:
    rows: list[tuple[str, int, int]] = []
    problems: dict[str, str] = {}
    for frame in link.stream("volume.holdings", volume=volume):
        found: Any = json.loads(frame.body)
        if isinstance(found, dict):
            problems = {str(path): str(reason) for path, reason in found["problems"].items()}
        else:
            rows.extend((str(path), int(size), int(mtime)) for path, size, mtime in found)
    return rows, problems


def _compared(
    link: AgentLink, volume: str, below: str, folder: Path, rows: list[tuple[str, int, int]]
) -> tuple[frozenset[str], dict[str, int]]:
    """The paths on the volume whose content is in *folder* too, and those of which another version is there (mtime).

    Only files of the same size are hashed.
    """
    sizes = {path: size for path, size, _ in rows if path.startswith(below)}
    local = tree.look(str(folder), [path[len(below) :] for path in sizes]) if folder.is_dir() else None
    if local is None:
        return frozenset(), {}
    entries = {below + path: entry for path, entry in local.entries.items() if entry.kind != "dir"}
    twins = {
        path: entry.digest for path, entry in entries.items() if entry.kind == "file" and entry.size == sizes[path]
    }
    same = {path for path, entry in entries.items() if entry.kind == "symlink"}
    if twins:
        frame = link.call("volume.digests", json.dumps(list(twins)).encode("ascii"), volume=volume)
        there = json.loads(frame.body)
        same |= {path for path, digest in twins.items() if there.get(path) == digest}
    return frozenset(same), {path: entry.mtime_ns for path, entry in entries.items() if path not in same}


def _repositories(link: AgentLink, volume: str, paths: list[str]) -> dict[str, Any]:
    if not any("/.git/" in f"/{path}" or path.endswith("/HEAD") for path in paths):
        return {"repositories": [], "paths": []}
    frame = link.call("volume.repositories", json.dumps(paths).encode("ascii"), volume=volume)
    found: dict[str, Any] = json.loads(frame.body)
    return found
