"""The body of a sync request: a JSON item list and the contents of its files, checked as hostile input."""

from __future__ import annotations

import errno
import json
import os
import struct
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from devpod_rp.agent.files import packing
from devpod_rp.agent.files.stamps import STAMP_BYTES, Stamp
from devpod_rp.agent.wire import Refusal, Request

MAX_BYTES = 64 << 20
"""A body that unpacks to more is refused, so a hostile frame cannot fill the memory."""

Item = Dict[str, Any]
Result = Dict[str, Any]
"""What became of an item: {"ok": true, "stamp"?} or {"ok": false, "code", "message"}. The stamp is of a file, and only
there if any later write would show in it."""

_NO_STAMP = bytes(STAMP_BYTES)
_CODES = {
    errno.ENOSPC: "no-space",
    errno.EDQUOT: "no-space",
    errno.EACCES: "not-permitted",
    errno.EPERM: "not-permitted",
    errno.EROFS: "not-permitted",
    errno.ENOENT: "not-found",
    errno.EEXIST: "changed",
}


class OccupiedError(Exception):
    """A folder cannot go because it holds what is not synchronised (mutagen#114)."""


def packed(items: List[Item], contents: List[bytes]) -> bytes:
    """``u32 length of the item list, item list, contents in order``, uncompressed."""
    listing = json.dumps(items, separators=(",", ":")).encode("ascii")
    return b"".join([struct.pack(">I", len(listing)), listing, *contents])


class NewFiles(NamedTuple):
    """The new files that one item ``{do: files, path: […], digest: […], size: […], mtime_ns: […], executable: […]}``
    stands for, all inline, where nothing may be. Most files travel so, because it is read in a fraction of the time."""

    paths: List[str]
    digests: List[Any]
    sizes: List[int]
    mtimes_ns: List[Any]
    executables: List[Any]

    @classmethod
    def of(cls, item: Item) -> "NewFiles":
        columns = [_column(item, key) for key in ("path", "digest", "size", "mtime_ns", "executable")]
        paths, _digests, sizes = columns[:3]
        if (
            any(len(column) != len(paths) for column in columns)
            or not all(isinstance(path, str) for path in paths)
            or not all(type(size) is int and size >= 0 for size in sizes)
        ):
            raise Refusal("bad-request", "not a list of files")
        return cls(*columns)

    def item(self, number: int) -> Item:
        """The one of *number* as an item of its own."""
        return {
            "do": "file",
            "path": self.paths[number],
            "old": None,
            "digest": self.digests[number],
            "size": self.sizes[number],
            "mtime_ns": self.mtimes_ns[number],
            "executable": self.executables[number],
        }


NO_FILES = NewFiles([], [], [], [], [])


def unpacked(request: Request) -> Tuple[List[Item], NewFiles, memoryview]:
    """The items, the new files behind them, and the joined contents of both.

    Raises:
        Refusal: bad-request, when it is no batch or the sizes do not add up.
    """
    listed, content = split(inflated(request))
    new = NewFiles.of(listed.pop()) if listed and listed[-1].get("do") == "files" else NO_FILES
    items: List[Item] = []
    for item in listed:
        if item.get("do") == "dirs":
            items += [{"do": "dir", "path": path, "old": None} for path in _column(item, "path")]
        else:
            items.append(item)
    inline = sum(count(item, "size") for item in items if is_inline(item))
    if inline + sum(new.sizes) != len(content):
        raise Refusal("bad-request", "the contents do not add up")
    return items, new, content


def _column(item: Item, key: str) -> List[Any]:
    column = item.get(key)
    if not isinstance(column, list):
        raise Refusal("bad-request", "not a list: %s" % key)
    return column


def is_inline(item: Item) -> bool:
    """Whether the item's content follows the list; else it is on the pod already, *staged* in parts or to *copy*."""
    return item.get("do") == "file" and "staged" not in item and "copy" not in item


def split(body: bytes) -> Tuple[List[Item], memoryview]:
    """The reverse of :func:`packed`, with a view of the contents; raises Refusal "bad-request" for what is no batch."""
    try:
        (length,) = struct.unpack_from(">I", body)
        items = json.loads(body[4 : 4 + length].decode("ascii"))
    except (struct.error, ValueError) as error:
        raise Refusal("bad-request", "not a batch") from error
    if length > len(body) - 4 or not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Refusal("bad-request", "not a batch")
    return items, memoryview(body)[4 + length :]


def failure(error: Exception) -> Result:
    """An item's result when it could not be done: the protocol's codes, and "occupied"."""
    if isinstance(error, OccupiedError):
        message = "the folder on the pod holds files that are not synchronised"
        return {"ok": False, "code": "occupied", "message": message}
    if isinstance(error, Refusal):
        return {"ok": False, "code": error.code, "message": error.message}
    number = getattr(error, "errno", None) or 0
    message = os.strerror(number) if number else str(error)
    return {"ok": False, "code": _CODES.get(number, "unexpected"), "message": message}


def told(results: List[Result]) -> bytes:
    """The results of a batch's items: ``u32 length of a JSON object of the failures by number, that object``, and for
    each item its stamp, zeros if it has none."""
    failed = {number: result for number, result in enumerate(results) if not result["ok"]}
    listing = json.dumps(failed, separators=(",", ":")).encode("ascii")
    stamps = [result.get("stamp", _NO_STAMP) for result in results]
    return b"".join([struct.pack(">I", len(listing)), listing, *stamps])


def heard(body: bytes) -> Tuple[Dict[int, Result], List[Optional[Stamp]]]:
    """The reverse of :func:`told`: the failures by number, and the stamps; raises ValueError for what is no such
    answer."""
    try:
        (length,) = struct.unpack_from(">I", body)
        failed = {int(number): dict(result) for number, result in json.loads(body[4 : 4 + length].decode()).items()}
    except (struct.error, TypeError, AttributeError) as error:
        raise ValueError("not the results of a batch") from error
    stamps = Stamp.received(body[4 + length :])
    return failed, [None if stamp == _NO_STAMP else stamp for stamp in stamps]


def inflated(request: Request) -> bytes:
    """The body, decompressed when the header's *packed* gives its unpacked size."""
    try:
        return packing.unpack(request.body, request.header, MAX_BYTES)
    except ValueError as error:
        raise Refusal("bad-request", str(error)) from error


def count(fields: Dict[str, Any], key: str) -> int:
    value = fields.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Refusal("bad-request", "%s must be a count" % key)
    return value
