"""Everything a volume holds, for the moment when the volume itself is about to be destroyed."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Iterable, Iterator, List, Tuple

from devpod_rp.agent.exposure import repositories as gits
from devpod_rp.agent.files import tree
from devpod_rp.agent.files.changes import look
from devpod_rp.agent.files.entries import Snapshot, relative
from devpod_rp.agent.wire import Refusal, Request

ROWS_PER_FRAME = 4000
# What devpod_rp itself keeps on a volume: staging, trash, journals. Rescued files lie elsewhere and do count.
_OURS = ".devpod_rp"

Reply = Iterator[Tuple[Dict[str, Any], bytes]]


def holdings(request: Request) -> Reply:
    """Op ``volume.holdings {volume}``: frames of rows ``[path, size, mtime_ns]`` of every file and link on the volume.

    Paths are relative to the volume. The last frame is ``{"problems": {path: reason}}``: what could not be looked into.
    Nothing is read; no link is followed.
    """
    problems: Dict[str, str] = {}
    walk = tree.Walk(_volume(request), sift=_not_ours, reads=False)
    for _step in walk.steps():
        if walk.waiting >= ROWS_PER_FRAME:
            yield {}, _rows(walk.take(), problems)
    yield {}, _rows(walk.take(), problems)
    yield {}, _packed({"problems": problems})


def _not_ours(folder: str, listing: "Iterable[os.DirEntry[str]]") -> "Iterable[os.DirEntry[str]]":
    return listing if folder else (entry for entry in listing if entry.name != _OURS)


def digests(request: Request) -> Reply:
    """Op ``volume.digests {volume}``, body: a JSON list of relative paths. One frame ``{path: digest}``.

    Files that changed while they were read, or cannot be read, are not in it.
    """
    wanted = json.loads(request.body.decode("ascii"))
    if not isinstance(wanted, list) or not all(isinstance(path, str) and relative(path) for path in wanted):
        raise Refusal("bad-request", "not a list of relative paths")
    found = tree.look(_volume(request), wanted)
    known = {path: entry.digest for path, entry in found.entries.items() if entry.digest and path not in found.unknown}
    yield {}, _packed(known)


def repositories(request: Request) -> Reply:
    """Op ``volume.repositories {volume}``, body: a JSON list of relative paths that are nowhere else.

    One frame ``{"repositories": […], "paths": […]}``: the git repositories among them, as ``exposure.scan`` tells them,
    and those of the paths that a clone brings back. A remote on the volume itself counts for nothing.
    """
    volume = _volume(request).rstrip("/")
    changes = []
    for path in json.loads(request.body.decode("ascii")):
        if not isinstance(path, str) or not relative(path):
            raise Refusal("bad-request", "not a list of relative paths")
        try:
            changes.append(look(volume + "/" + path))
        except OSError:
            continue  # gone meanwhile
    found = gits.examine(changes, [])
    back = [path[len(volume) + 1 :] for path in found.paths]
    yield {}, _packed({"repositories": [each.as_json() for each in found.repositories], "paths": back})


def _volume(request: Request) -> str:
    volume = request.header.get("volume")
    if not isinstance(volume, str) or not os.path.isdir(volume):
        raise Refusal("not-found", "there is no volume at %s" % volume)
    return volume


def _rows(found: Snapshot, problems: Dict[str, str]) -> bytes:
    problems.update(found.unknown)
    rows: List[Any] = [
        [path, entry.size, entry.mtime_ns] for path, entry in found.entries.items() if entry.kind != "dir"
    ]
    return _packed(rows)


def _packed(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")


OPERATIONS = {"volume.holdings": holdings, "volume.digests": digests, "volume.repositories": repositories}
