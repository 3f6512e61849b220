"""The body of a sync request: a JSON item list and the contents of its files, checked as hostile input."""

from __future__ import annotations

import json
import struct
from typing import Any, Dict, List, Optional, Tuple

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


def packed(items: List[Item], contents: List[bytes]) -> bytes:
    """``u32 length of the item list, item list, contents in order``, uncompressed."""
    listing = json.dumps(items, separators=(",", ":")).encode("ascii")
    return b"".join([struct.pack(">I", len(listing)), listing, *contents])


def unpacked(request: Request) -> Tuple[List[Item], memoryview]:
    """The items and the joined contents of the files among them.

    Raises:
        Refusal: bad-request, when it is no batch or the sizes do not add up.
    """
    listed, content = split(inflated(request))
    items: List[Item] = []
    for item in listed:
        if item.get("do") == "files":
            items += _each_file(item)
        elif item.get("do") == "dirs":
            items += [{"do": "dir", "path": path, "old": None} for path in _column(item, "path")]
        else:
            items.append(item)
    inline = sum(count(item, "size") for item in items if is_inline(item))
    if inline != len(content):
        raise Refusal("bad-request", "the contents do not add up")
    return items, content


def _each_file(item: Item) -> List[Item]:
    """The new files that one item ``{do: files, path: […], digest: […], size: […], mtime_ns: […], executable: […]}``
    stands for, all inline. Most files travel so, because it is read in a fraction of the time."""
    columns = [_column(item, key) for key in ("path", "digest", "size", "mtime_ns", "executable")]
    if any(len(column) != len(columns[0]) for column in columns):
        raise Refusal("bad-request", "not a list of files")
    return [
        {
            "do": "file",
            "path": path,
            "old": None,
            "digest": digest,
            "size": size,
            "mtime_ns": mtime_ns,
            "executable": executable,
        }
        for path, digest, size, mtime_ns, executable in zip(*columns)  # noqa: B905 - 3.8 has no strict
    ]


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
