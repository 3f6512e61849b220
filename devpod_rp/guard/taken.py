"""Asking the pod for the state and content of files that are to be brought here; its answers are hostile input."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devpod_rp.agent.files.changes import Stamp
from devpod_rp.agent.files.packing import unpack
from devpod_rp.agent.sync import batch
from devpod_rp.agent.wire import Frame, Refusal
from devpod_rp.errors import UnreachableError
from devpod_rp.pod.link import AgentLink

_LARGEST_BODY = 64 << 20


@dataclass(frozen=True)
class Offer:
    """One file or link (*target*) of the pod, in one state. *links* above 1 tells that it has further names."""

    path: str
    stamp: Stamp
    mode: int
    uid: int
    gid: int
    device: int
    links: int
    target: str | None


@dataclass(frozen=True)
class Folder:
    """One folder above an offered file."""

    path: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int


@dataclass(frozen=True)
class Missing:
    """A path that cannot be had."""

    path: str
    reason: str


class Nonsense(UnreachableError):
    """What came from the pod is not an answer to what it was asked."""

    kind = "agent-nonsense"

    def __init__(self) -> None:
        super().__init__("What came from the pod is no list of its files; nothing more was taken from it.")


def look(link: AgentLink, paths: Sequence[str]) -> Iterator[Offer | Folder | Missing]:
    """The present state of *paths* on the pod, and of the folders above them."""
    for frame in link.stream("take.look", json.dumps(list(paths)).encode("ascii")):
        try:
            rows = json.loads(frame.body)
        except ValueError as error:
            raise Nonsense() from error
        yield from looked(rows)


def unchanged(link: AgentLink, stamps: Mapping[str, Stamp]) -> frozenset[str]:
    """Those paths to which nothing happened since they were in the state that *stamps* tells."""
    if not stamps:
        return frozenset()
    now = (each for each in look(link, list(stamps)) if isinstance(each, Offer))
    return frozenset(each.path for each in now if stamps.get(each.path) == each.stamp)


def looked(rows: Any) -> Iterator[Offer | Folder | Missing]:
    """The rows of ``take.look``. Raises `Nonsense` for what is no such row."""
    if not isinstance(rows, list):
        raise Nonsense()
    for row in rows:
        try:
            yield _looked(row)
        except (KeyError, TypeError, ValueError) as error:
            raise Nonsense() from error


def whole(frame: Frame) -> Iterator[tuple[Mapping[str, Any], bytes | None]]:
    """The rows of one ``take.whole`` frame with their contents (None: it was not given). Raises `Nonsense`."""
    try:
        rows, contents = batch.split(data(frame))
        offset = 0
        for row in rows:
            if "reason" in row:
                yield row, None
                continue
            size = _count(row["size"])
            content = bytes(contents[offset : offset + size])
            if len(content) != size:
                raise Nonsense()
            offset += size
            yield row, content
    except (KeyError, TypeError, ValueError, Refusal) as error:
        raise Nonsense() from error


def data(frame: Frame) -> bytes:
    """The body of a frame, unpacked. Raises `Nonsense`."""
    try:
        return unpack(frame.body, frame.header, _LARGEST_BODY)
    except ValueError as error:
        raise Nonsense() from error


def hole(frame: Frame, room: int) -> int:
    """The bytes of a hole that *frame* tells of, 0 if it holds data; at most *room*. Raises `Nonsense`."""
    try:
        size = _count(frame.header.get("hole", 0))
    except ValueError as error:
        raise Nonsense() from error
    if size > room:
        raise Nonsense()
    return size


def _looked(row: Any) -> Offer | Folder | Missing:
    path = row["path"]
    if not isinstance(path, str):
        raise ValueError(path)
    if "reason" in row:
        return Missing(path, str(row["reason"]))
    if "folder" in row:
        mode, uid, gid, mtime_ns = (_number(each) for each in row["folder"])
        return Folder(path, mode, uid, gid, mtime_ns)
    stamp = Stamp(*(_number(each) for each in row["stamp"]))
    _count(stamp.size)
    target = row["target"]
    if target is not None and (not isinstance(target, str) or "\0" in target):
        raise ValueError(target)
    mode, uid, gid, device, links = (_number(row[key]) for key in ("mode", "uid", "gid", "device", "links"))
    return Offer(path, stamp, mode, uid, gid, device, links, target)


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(value)
    return value


def _count(value: Any) -> int:
    if _number(value) < 0:
        raise ValueError(value)
    return int(value)
