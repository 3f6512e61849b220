"""Giving content of the synchronised folder, and old versions from its trash, to the launcher."""

from __future__ import annotations

import json
import os
import stat
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Tuple

from devpod_rp.agent.files import durable
from devpod_rp.agent.files.content import digest
from devpod_rp.agent.files.packing import is_packed, pack
from devpod_rp.agent.files.places import OPEN_FOLDER
from devpod_rp.agent.files.stamps import Stamp
from devpod_rp.agent.files.versions import READ
from devpod_rp.agent.sync import trash
from devpod_rp.agent.sync.batch import count, failure, inflated, packed
from devpod_rp.agent.sync.roots import Area, Root, parts_of
from devpod_rp.agent.wire import Handler, Header, Refusal, Request

FRAME_BYTES = 512 << 10
LARGEST_WHOLE = 1 << 20
"""A larger file is read in slices, so that neither end holds it in memory."""

MAX_SLICE = 8 << 20

Replies = Iterator[Tuple[Header, bytes]]


def fetch(request: Request) -> Replies:
    """Op ``files.fetch {root, state, ino, packed, reads_zstd}``, body: a JSON list of paths of files of at most 1 MiB.

    Answers with frames as ``files.apply`` takes them: rows ``{path, ok: true, size, digest, executable, mtime_ns, ino,
    stamp}`` or ``{path, ok: false, code, message}``, and the contents of the good ones in order.
    """
    rows: List[Dict[str, Any]] = []
    contents: List[bytes] = []
    size = 0
    area = Area(request.header)
    now_ns = area.now_ns()
    with Root(area, request.header.get("ino")) as root:
        for path in _paths(request):
            row, content = _whole(root, path, now_ns)
            rows.append(row)
            contents.append(content)
            size += len(content)
            if size >= FRAME_BYTES:
                yield _frame(rows, contents, request)
                rows, contents, size = [], [], 0
    yield _frame(rows, contents, request)


def read(request: Request) -> Replies:
    """Op ``files.read {root, state, ino, path, offset, size, moment?, reads_zstd}``: a slice of a file, or of what it
    was in the trash, at *moment*.

    The header tells the file's whole *stamp* and *executable*, so that the caller sees whether it changed in between.
    """
    path = str(request.header.get("path"))
    offset, size = count(request.header, "offset"), count(request.header, "size")
    if size > MAX_SLICE:
        raise Refusal("bad-request", "a slice has at most %d bytes" % MAX_SLICE)
    now_ns = Area(request.header).now_ns()
    with _opened(request, path) as descriptor:
        before = os.fstat(descriptor)
        data = os.pread(descriptor, size, offset)
        after = os.fstat(descriptor)
    if Stamp.of(before) != Stamp.of(after):
        raise Refusal("busy", "it is being written on the pod")
    body, fields = pack(data, is_packed(path), request.header.get("reads_zstd"))
    yield {"stamp": durable.stamp_row(after, now_ns), "executable": bool(after.st_mode & stat.S_IXUSR), **fields}, body


def list_trash(request: Request) -> Replies:
    """Op ``trash.list {root, state}``: rows as of `trash.listed`."""
    rows = trash.listed(Area(request.header).trash)
    for start in range(0, max(1, len(rows)), 4000):
        body, fields = pack(json.dumps(rows[start : start + 4000]).encode("ascii"))
        yield fields, body


def _paths(request: Request) -> List[str]:
    try:
        paths = json.loads(inflated(request).decode("ascii"))
    except ValueError as error:
        raise Refusal("bad-request", "not a list of paths") from error
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise Refusal("bad-request", "not a list of paths")
    return paths


def _whole(root: Root, path: str, now_ns: int) -> Tuple[Dict[str, Any], bytes]:
    try:
        folder, name = root.parent(path)
        descriptor = os.open(name, READ, dir_fd=folder)
        try:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode) or before.st_size > LARGEST_WHOLE:
                raise Refusal("changed", "changed on the pod meanwhile")
            content = os.read(descriptor, before.st_size + 1)
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if Stamp.of(before) != Stamp.of(after) or len(content) != after.st_size:
            raise Refusal("busy", "it is being written on the pod")
    except (OSError, Refusal) as error:
        return {"path": path, **failure(error)}, b""
    return {
        "path": path,
        "ok": True,
        "digest": digest(content),
        "size": len(content),
        "stamp": durable.stamp_row(after, now_ns),
    }, content


def _frame(rows: List[Dict[str, Any]], contents: List[bytes], request: Request) -> Tuple[Header, bytes]:
    incompressible = bool(rows) and all(is_packed(row["path"]) for row in rows)
    body, fields = pack(packed(rows, contents), incompressible, request.header.get("reads_zstd"))
    return fields, body


@contextmanager
def _opened(request: Request, path: str) -> Iterator[int]:
    area, moment = Area(request.header), request.header.get("moment")
    if moment is None:
        with Root(area, request.header.get("ino")) as root:
            folder, name = root.parent(path)
            descriptor = os.open(name, READ, dir_fd=folder)
    else:
        descriptor = open_trashed(area, moment, path)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Refusal("changed", "it is no file any more")
        yield descriptor
    finally:
        os.close(descriptor)


def open_trashed(area: Area, moment: Any, path: str) -> int:
    """Open an old version, walking component by component."""
    parts = parts_of(moment) + parts_of(path)
    folder = os.open(area.trash, OPEN_FOLDER)
    try:
        for part in parts[:-1]:
            below = os.open(part, OPEN_FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        return os.open(parts[-1], READ, dir_fd=folder)
    finally:
        os.close(folder)


OPERATIONS: Dict[str, Handler] = {"files.fetch": fetch, "files.read": read, "trash.list": list_trash}
