"""What would be lost if the volume itself were destroyed: everything on it that is not in the folder here."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from devpod_rp.agent import tree
from devpod_rp.guard import rules as rule_tables
from devpod_rp.guard.classify import Found, judge, most_precious_first
from devpod_rp.guard.report import GuardBlind, Problem, Report
from devpod_rp.pod.link import AgentLink, AgentRefused


def inspect_volume(link: AgentLink, *, volume_path: str, workspace: str, folder: Path) -> Report:
    """Look at a volume disk that is about to die with its pod; *folder* here is synchronised to *workspace* there.

    A file is no sole copy if the same relative path below *folder* holds the same content.

    Raises:
        GuardBlind: the agent cannot look.
    """
    started = time.monotonic()
    volume = volume_path.rstrip("/")
    try:
        rows, problems = _holdings(link, volume)
        below = "" if workspace == volume else workspace[len(volume) + 1 :] + "/"
        here = _same_here(link, volume, below, folder, rows)
    except AgentRefused as refused:
        raise GuardBlind(refused.message) from refused
    rules = rule_tables.builtin()
    verdict = judge(
        (Found(f"{volume}/{path}", size, mtime) for path, size, mtime in rows if path not in here), rules, None
    )
    risks = [
        replace(risk, reason=f"{risk.reason.split(',')[0]}, only on the volume, which dies with the pod")
        for risk in verdict.at_risk
    ]
    return Report(
        at_risk=tuple(most_precious_first(risks, rules)),
        rebuildable=verdict.rebuildable,
        processes=(),
        problems=tuple(Problem(f"{volume}/{path}", reason) for path, reason in sorted(problems.items())),
        left_out=verdict.left_out,
        scanned_files=len(rows),
        seconds=time.monotonic() - started,
    )


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


def _same_here(
    link: AgentLink, volume: str, below: str, folder: Path, rows: Iterable[tuple[str, int, int]]
) -> frozenset[str]:
    """The paths on the volume whose content is in *folder* too; only files of the same size are hashed."""
    sizes = {path: size for path, size, _ in rows if path.startswith(below)}
    local = tree.look(str(folder), [path[len(below) :] for path in sizes]) if folder.is_dir() else None
    if local is None:
        return frozenset()
    twins = {
        below + path: entry.digest
        for path, entry in local.entries.items()
        if entry.kind == "file" and entry.size == sizes[below + path]
    }
    links = {below + path for path, entry in local.entries.items() if entry.kind == "symlink"}
    if not twins:
        return frozenset(links)
    frame = link.call("volume.digests", json.dumps(list(twins)).encode("ascii"), volume=volume)
    there = json.loads(frame.body)
    return frozenset(links | {path for path, digest in twins.items() if there.get(path) == digest})
