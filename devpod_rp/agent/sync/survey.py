"""A look at the synchronised folder by its stamps alone; digests only of the files that somebody asks about.

The launcher remembers which stamp had which digest, so an unchanged tree costs one walk here and one answer; and what
only the pod has (checkpoints, data sets) is never read, however large it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import zlib
from contextlib import suppress
from typing import Any, Dict, Iterator, List, Tuple

from devpod_rp.agent.files import tree
from devpod_rp.agent.sync import watching
from devpod_rp.agent.sync.batch import inflated
from devpod_rp.agent.sync.roots import Area, Root
from devpod_rp.agent.sync.rules import Rules, from_wire
from devpod_rp.agent.wire import Refusal, Request

ROWS_PER_FRAME = 4000
_SIGN_OF_LIFE_SECONDS = 1.0

Reply = Iterator[Tuple[Dict[str, Any], bytes]]


def survey(request: Request) -> Reply:
    """Op ``files.survey {root, state, ino, packed, unless}``, body: JSON ``{rules, paths}``, rules as in Rules.to_wire.

    With *paths* (relative) only these and what is below them are looked at, else everything. Answers with frames whose
    bodies are zlib-compressed JSON lists of rows ``[path, kind, size, executable, link target, mtime_ns, stamp or
    null]``; the last one is ``{"unknown": {path: reason}, "special": {path: what}}``, its header has a *fingerprint* of
    it all. Who names the fingerprint of an earlier answer in *unless* gets only the header when nothing differs.
    """
    try:
        wishes = json.loads(inflated(request).decode("ascii"))
        rules, paths = from_wire(wishes["rules"]), wishes["paths"]
    except (ValueError, TypeError, KeyError, re.error) as error:
        raise Refusal("bad-request", "not a set of ignore rules") from error
    if paths is not None and not all(isinstance(path, str) and tree.relative(path) for path in paths):
        raise Refusal("bad-request", "not a list of relative paths")
    area = Area(request.header)
    if paths is None:
        watching.forget()
    unless = request.header.get("unless")
    answer = _Answer(hold=unless is not None)
    with Root(area, request.header.get("ino")):
        walk = tree.Walk(os.fsdecode(area.root), keep=rules.keep, reads=False)
        for _step in walk.steps() if paths is None else _below(walk, rules, paths):
            if walk.waiting >= ROWS_PER_FRAME:
                yield from answer.frames(walk)
    yield from answer.frames(walk)
    yield from answer.last(unless)


class _Answer:
    """Frames on their way; held back where perhaps none of them need be sent."""

    def __init__(self, hold: bool) -> None:
        self._hold = hold
        self._held: List[bytes] = []
        self._unknown: Dict[str, str] = {}
        self._special: Dict[str, str] = {}
        self._fingerprint = hashlib.blake2b(digest_size=16)

    def frames(self, walk: tree.Walk) -> Reply:
        found = walk.take()
        self._unknown.update(found.unknown)
        self._special.update(found.special)
        raw = _encoded(
            [
                [path, entry.kind, entry.size, entry.executable, entry.target, entry.mtime_ns, found.stamps.get(path)]
                for path, entry in found.entries.items()
            ]
        )
        self._fingerprint.update(raw)
        if not self._hold:
            yield {}, zlib.compress(raw, 1)
        else:
            self._held.append(raw)

    def last(self, unless: Any) -> Reply:
        remarks = _encoded({"unknown": self._unknown, "special": self._special})
        self._fingerprint.update(remarks)
        fingerprint = self._fingerprint.hexdigest()
        if fingerprint != unless:
            for raw in self._held:
                yield {}, zlib.compress(raw, 1)
            yield {"fingerprint": fingerprint}, zlib.compress(remarks, 1)
        else:
            yield {"fingerprint": fingerprint}, b""


def _below(walk: tree.Walk, rules: Rules, paths: List[str]) -> Iterator[None]:
    walk.look(path for path in paths if not (rules.ignored(path, False) and rules.ignored(path, True)))
    found = walk.found()
    for path in [path for path, entry in found.items() if rules.ignored(path, entry.kind == tree.FOLDER)]:
        del found[path]
    for folder in tree.topmost(path for path, entry in found.items() if entry.kind == tree.FOLDER):
        with suppress(OSError):  # gone again: then there is nothing in it
            yield from walk.steps(folder)


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
        now_ns = area.now_ns()
        for start in range(0, len(paths), 100):
            found = tree.look(os.fsdecode(area.root), paths[start : start + 100], now_ns=now_ns)
            for path, stamp in found.stamps.items():
                rows.append([path, found.entries[path].digest, stamp, path not in found.fresh])
            if len(rows) >= ROWS_PER_FRAME or time.monotonic() - told > _SIGN_OF_LIFE_SECONDS:
                yield {}, _packed(rows)
                rows, told = [], time.monotonic()
    yield {}, _packed(rows)


def _packed(rows: Any) -> bytes:
    return zlib.compress(_encoded(rows), 1)


def _encoded(rows: Any) -> bytes:
    return json.dumps(rows, separators=(",", ":")).encode("ascii")


OPERATIONS = {"files.survey": survey, "files.digests": digests}
