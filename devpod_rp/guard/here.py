"""Which files of the container disk are in the synchronised folder on this machine, too, whatever their names here."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from devpod_rp.agent.files.digests import ChangedWhileRead, content_digest, stamp_of
from devpod_rp.guard.classify import Risk
from devpod_rp.pod.link import AgentLink

# Our own trash is emptied without asking, so what is in it is no copy.
_PASSING = ".devpod_rp"


def same_here(link: AgentLink, risks: Iterable[Risk], folder: Path) -> frozenset[str]:
    """The sole copies among *risks* whose content is also that of a file in *folder*: equal in size, then by hash.

    Only files that have a counterpart of the same size are read, on either side; an empty file has none.
    """
    sizes: dict[int, list[Risk]] = {}
    for risk in risks:
        if risk.sole_copy and risk.size > 0 and not risk.reason.startswith("link to"):
            sizes.setdefault(risk.size, []).append(risk)
    candidates = [path for path in _files(folder) if _size(path) in sizes] if sizes else []
    digests = dict(_digests(candidates))
    wanted = {path for size, _ in digests.values() for risk in sizes.get(size, ()) for path in _names(risk)}
    if not wanted:
        return frozenset()
    there: dict[str, str] = json.loads(link.call("exposure.digests", json.dumps(sorted(wanted)).encode("ascii")).body)
    known = {digest for _, digest in digests.values()}
    return frozenset(path for path, digest in there.items() if path in wanted and digest in known)


def _files(folder: Path) -> Iterator[str]:
    for top, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != _PASSING]
        for name in names:
            yield str(Path(top, name))


def _size(path: str) -> int:
    try:
        status = os.lstat(path)
    except OSError:
        return -1  # gone meanwhile: no copy
    return status.st_size if stat.S_ISREG(status.st_mode) else -1


def _digests(paths: Iterable[str]) -> Iterator[tuple[str, tuple[int, str]]]:
    for path in paths:
        try:
            stamp = stamp_of(os.lstat(path))
            yield path, (stamp.size, content_digest(path, stamp))
        except (OSError, ChangedWhileRead):
            continue  # what cannot be read in one state is no copy we can vouch for


def _names(risk: Risk) -> tuple[str, ...]:
    return (risk.path, *risk.other_names)
