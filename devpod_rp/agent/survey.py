"""A look at the synchronised folder by its stamps alone; digests only of the files that somebody asks about.

The launcher remembers which stamp had which digest, so an unchanged tree costs one walk here and one answer; and what
only the pod has (checkpoints, data sets) is never read, however large it is.
"""

from __future__ import annotations

import json
import os
import re
import time
import zlib
from contextlib import suppress
from typing import Any, Dict, Iterator, List, Tuple

from devpod_rp.agent import tree, watching
from devpod_rp.agent.batch import inflated
from devpod_rp.agent.roots import Area, Root
from devpod_rp.agent.rules import Rules, from_wire
from devpod_rp.agent.wire import Refusal, Request

ROWS_PER_FRAME = 4000
_SIGN_OF_LIFE_SECONDS = 1.0

Reply = Iterator[Tuple[Dict[str, Any], bytes]]


def survey(request: Request) -> Reply:
    """Op ``files.survey {root, state, ino, packed}``, body: JSON ``{rules, paths}`` (rules as in Rules.to_wire).

    With *paths* (relative) only these and what is below them are looked at, else everything. Answers with frames whose
    bodies are zlib-compressed JSON lists of rows ``[path, kind, size, executable, link target, mtime_ns, stamp or
    null]``; the last one is ``{"unknown": {path: reason}, "special": {path: what}}``.
    """
    try:
        wishes = json.loads(inflated(request).decode("ascii"))
        rules, paths = from_wire(wishes["rules"]), wishes["paths"]
    except (ValueError, TypeError, KeyError, re.error) as error:
        raise Refusal("bad-request", "not a set of ignore rules") from error
    if paths is not None and not all(isinstance(path, str) and tree.relative(path) for path in paths):
        raise Refusal("bad-request", "not a list of relative paths")
    area = Area(request.header)
    unknown: Dict[str, str] = {}
    special: Dict[str, str] = {}
    if paths is None:
        watching.forget()
    with Root(area, request.header.get("ino")):
        walk = tree.Walk(os.fsdecode(area.root), keep=rules.keep, reads=False)
        for _step in walk.steps() if paths is None else _below(walk, rules, paths):
            if walk.waiting >= ROWS_PER_FRAME:
                yield {}, _taken(walk, unknown, special)
    yield {}, _taken(walk, unknown, special)
    yield {}, _packed({"unknown": unknown, "special": special})


def _below(walk: tree.Walk, rules: Rules, paths: List[str]) -> Iterator[None]:
    walk.look(path for path in paths if not (rules.ignored(path, False) and rules.ignored(path, True)))
    found = walk.found()
    for path in [path for path, entry in found.items() if rules.ignored(path, entry.kind == tree.FOLDER)]:
        del found[path]
    for folder in tree.topmost(path for path, entry in found.items() if entry.kind == tree.FOLDER):
        with suppress(OSError):  # gone again: then there is nothing in it
            yield from walk.steps(folder)


def _taken(walk: tree.Walk, unknown: Dict[str, str], special: Dict[str, str]) -> bytes:
    found = walk.take()
    unknown.update(found.unknown)
    special.update(found.special)
    rows: List[Any] = [
        [path, entry.kind, entry.size, entry.executable, entry.target, entry.mtime_ns, found.stamps.get(path)]
        for path, entry in found.entries.items()
    ]
    return _packed(rows)


def digests(request: Request) -> Reply:
    """Op ``files.digests {root, state, ino, packed}``, body: a JSON list of paths.

    Answers with rows ``[path, digest, stamp, settled]`` for those that are regular files and can be read right now;
    *settled* says that any later write would show in the stamp.
    """
    try:
        paths = json.loads(inflated(request).decode("ascii"))
    except ValueError as error:
        raise Refusal("bad-request", "not a list of paths") from error
    if not isinstance(paths, list) or not all(isinstance(path, str) and tree.relative(path) for path in paths):
        raise Refusal("bad-request", "not a list of paths")
    area = Area(request.header)
    with Root(area, request.header.get("ino")):
        rows: List[Any] = []
        told = time.monotonic()
        for start in range(0, len(paths), 100):
            found = tree.look(os.fsdecode(area.root), paths[start : start + 100])
            for path, stamp in found.stamps.items():
                rows.append([path, found.entries[path].digest, stamp, path not in found.fresh])
            if len(rows) >= ROWS_PER_FRAME or time.monotonic() - told > _SIGN_OF_LIFE_SECONDS:
                yield {}, _packed(rows)
                rows, told = [], time.monotonic()
    yield {}, _packed(rows)


def _packed(rows: Any) -> bytes:
    return zlib.compress(json.dumps(rows, separators=(",", ":")).encode("ascii"), 1)


OPERATIONS = {"files.survey": survey, "files.digests": digests}
