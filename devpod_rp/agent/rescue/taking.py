"""Giving files from anywhere in the pod to the launcher, for it to keep: each in one state, holes told, not sent."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from functools import partial
from typing import Any, Dict, Iterator, List, Optional, Tuple

from devpod_rp.agent.files import handles
from devpod_rp.agent.files.changes import Stamp, look
from devpod_rp.agent.files.copying import blocks
from devpod_rp.agent.files.digests import BLOCK, ChangedWhileRead, stamp_of
from devpod_rp.agent.files.packing import is_packed, pack
from devpod_rp.agent.sync.batch import packed
from devpod_rp.agent.wire import Handler, Header, Refusal, Request

LARGEST_WHOLE = 1 << 20
"""A larger file is taken in slices, so that neither end holds it in memory and a cut costs one slice."""

MAX_SLICE = 32 << 20
_FRAME_BYTES = 1 << 20
_ROWS_PER_FRAME = 2000

Replies = Iterator[Tuple[Header, bytes]]


def operations(root: str = "/") -> Dict[str, Handler]:
    """The operations for the container whose disk is at *root*."""
    prefix = root.rstrip("/")
    return {
        "take.look": partial(_look, root),
        "take.whole": partial(_whole, prefix),
        "take.slice": partial(_slice, prefix),
        "take.digest": partial(_digest, prefix),
    }


def _look(root: str, request: Request) -> Replies:
    """Op ``take.look``, body: a JSON list of paths. Rows of their present state, and of the folders above them.

    A row is ``{path, stamp, mode, uid, gid, device, links, target}``, ``{path, reason}`` for what cannot be looked at,
    or ``{path, folder: [mode, uid, gid, mtime_ns]}``.
    """
    paths = _paths(request.body)
    rows: List[Dict[str, Any]] = []
    for path in paths:
        rows.append(_row(root, path))
        if len(rows) >= _ROWS_PER_FRAME:
            yield {}, _listing(rows)
            rows = []
    for folder in sorted({above for path in paths for above in _above(path)}):
        try:
            status = os.lstat(root.rstrip("/") + folder)
        except OSError:
            continue  # it went with its files, which have rows that say so
        kept = [stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns]
        rows.append({"path": folder, "folder": kept})
    yield {}, _listing(rows)


def _whole(prefix: str, request: Request) -> Replies:
    """Op ``take.whole``, body: a JSON list of ``[path, stamp]`` of files of at most 1 MiB.

    Frames of rows ``{path, size, digest}``, or ``{path, code, reason}``, and the contents of the good ones in order.
    """
    rows: List[Dict[str, Any]] = []
    contents: List[bytes] = []
    size = 0
    for path, stamp in json.loads(request.body):
        try:
            _plain(path)
            content = b"".join(
                block for block, _ in _state(handles.physical(prefix, path), Stamp(*stamp), LARGEST_WHOLE)
            )
        except (OSError, ChangedWhileRead) as error:
            rows.append({"path": path, **_failure(error)})
            continue
        rows.append(
            {"path": path, "size": len(content), "digest": hashlib.blake2b(content, digest_size=32).hexdigest()}
        )
        contents.append(content)
        size += len(content)
        if size >= _FRAME_BYTES:
            yield _frame(rows, contents)
            rows, contents, size = [], [], 0
    yield _frame(rows, contents)


def _slice(prefix: str, request: Request) -> Replies:
    """Op ``take.slice {path, stamp, offset, size}``: the file from *offset* on, until *size* bytes of data are given.

    A frame holds data (packed where that pays) or is ``{hole: bytes}``. The last one says ``{end: true}`` at the end
    of the file.

    Raises:
        Refusal: "changed" when the file is not in the state *stamp*.
    """
    path, stamp, offset = _asked(request)
    wanted = int(request.header["size"])
    if not 0 < wanted <= MAX_SLICE:
        raise Refusal("bad-request", "a slice has at most {0} bytes".format(MAX_SLICE))
    try:
        sent = 0
        hole = 0
        for block, is_hole in _state(handles.physical(prefix, path), stamp, offset=offset):
            if is_hole:
                hole += len(block)
                continue
            if hole:
                yield {"hole": hole}, b""
                hole = 0
            if sent >= wanted:
                yield {"end": False}, b""
                return
            body, fields = pack(block, is_packed(path))
            yield fields, body
            sent += len(block)
        if hole:
            yield {"hole": hole}, b""
        yield {"end": True}, b""
    except ChangedWhileRead:
        raise Refusal("changed", "it is being written on the pod") from None


def _digest(prefix: str, request: Request) -> Replies:
    """Op ``take.digest {path, stamp}``: blake2b (32 bytes, hex) of the file in that state; frames ``{bytes}`` before.

    Raises:
        Refusal: "changed" when the file is not in the state *stamp*.
    """
    path, stamp, _offset = _asked(request)
    digest = hashlib.blake2b(digest_size=32)
    done = 0
    try:
        for block, _is_hole in _state(handles.physical(prefix, path), stamp):
            digest.update(block)
            done += len(block)
            if done % (256 * BLOCK) == 0:
                yield {"bytes": done}, b""
    except ChangedWhileRead:
        raise Refusal("changed", "it is being written on the pod") from None
    yield {"bytes": done, "digest": digest.hexdigest()}, b""


def _state(
    physical: str, stamp: Stamp, largest: Optional[int] = None, *, offset: int = 0
) -> Iterator[Tuple[bytes, bool]]:
    """The blocks of a regular file in the state *stamp*, with whether each is a hole.

    Raises:
        ChangedWhileRead: it is not, or did not stay, in that state.
    """
    descriptor = handles.opened(physical)
    try:
        status = os.fstat(descriptor)
        if stamp_of(status) != stamp or not stat.S_ISREG(status.st_mode):
            raise ChangedWhileRead(physical)
        if largest is not None and status.st_size > largest:
            raise OSError(errno.EFBIG, "too large to be taken whole")
        yield from blocks(descriptor, status.st_size, offset)
        if stamp_of(os.fstat(descriptor)) != stamp:
            raise ChangedWhileRead(physical)
    finally:
        os.close(descriptor)


def _row(root: str, path: str) -> Dict[str, Any]:
    try:
        change = look(path, root=root)
        status = handles.status(handles.physical(root.rstrip("/"), path))
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
            return {"path": path, "reason": "it is neither a file nor a link"}
    except OSError as error:
        return {"path": path, "reason": _failure(error)["reason"]}
    return {
        "path": path,
        "stamp": list(change.stamp),
        "mode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
        "device": change.device,
        "links": change.links,
        "target": change.target,
    }


def _failure(error: Exception) -> Dict[str, Any]:
    if isinstance(error, ChangedWhileRead):
        return {"code": "changed", "reason": "it is being written on the pod"}
    if isinstance(error, OSError) and error.errno == errno.ENOENT:
        return {"code": "not-found", "reason": "it is gone: deleted or moved since the scan"}
    return {"code": "unexpected", "reason": (error.strerror if isinstance(error, OSError) else None) or str(error)}


def _above(path: str) -> Iterator[str]:
    folder = os.path.dirname(path)
    while folder != "/":
        yield folder
        folder = os.path.dirname(folder)


def _paths(body: bytes) -> List[str]:
    paths = json.loads(body)
    if not isinstance(paths, list):
        raise Refusal("bad-request", "not a list of paths")
    for path in paths:
        _plain(path)
    return paths


def _asked(request: Request) -> Tuple[str, Stamp, int]:
    header = request.header
    path = header.get("path")
    _plain(path)
    offset = header.get("offset", 0)
    if not isinstance(offset, int) or offset < 0:
        raise Refusal("bad-request", "not an offset: {0!r}".format(offset))
    return str(path), Stamp(*header["stamp"]), offset


def _plain(path: Any) -> None:
    if not isinstance(path, str) or not path.startswith("/") or os.path.normpath(path) != path or "\0" in path:
        raise Refusal("bad-request", "not a plain absolute path: {0!r}".format(path))


def _listing(rows: List[Dict[str, Any]]) -> bytes:
    return json.dumps(rows, separators=(",", ":")).encode("ascii")


def _frame(rows: List[Dict[str, Any]], contents: List[bytes]) -> Tuple[Header, bytes]:
    body, fields = pack(packed(rows, contents), bool(rows) and all(is_packed(row["path"]) for row in rows))
    return fields, body


OPERATIONS = operations()
