"""What the pod already has of a large file: told block by block, and copied there instead of being sent again."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Dict, Iterator, List, Tuple

from devpod_rp.agent.files.content import DIGEST_BYTES, blocks_of
from devpod_rp.agent.files.versions import READ
from devpod_rp.agent.sync.batch import inflated
from devpod_rp.agent.sync.parts import PARTS, part_path
from devpod_rp.agent.sync.roots import Area, Root
from devpod_rp.agent.wire import Handler, Header, Refusal, Request

_PER_FRAME = 64 << 10
_COPY_BYTES = 1 << 20  # what a processor's own cache holds from reading to writing
_WORKERS = min(4, os.cpu_count() or 1)

Replies = Iterator[Tuple[Header, bytes]]


def blocks(request: Request) -> Replies:
    """Op ``files.blocks {root, state, ino, path or staged}``: the digests of its blocks, in order.

    Refuses with "not-found" where there is no such file.
    """
    with _source(request) as descriptor:
        size = os.fstat(descriptor).st_size
        digests = blocks_of(descriptor, size)
    for start in range(0, len(digests), _PER_FRAME * DIGEST_BYTES):
        yield {"size": size}, digests[start : start + _PER_FRAME * DIGEST_BYTES]


def reuse(request: Request) -> Replies:
    """Op ``files.reuse {root, state, ino, path, staged, packed, replaced}``, body: a JSON list of [offset there, offset
    here, size]: copy these pieces of the file at *path* into the part, which is to take its place if *replaced*. What
    comes of it is verified when it is applied."""
    try:
        pieces = [(int(to), int(at), int(size)) for to, at, size in json.loads(inflated(request).decode("ascii"))]
    except (ValueError, TypeError) as error:
        raise Refusal("bad-request", "not a list of pieces") from error
    if any(min(piece) < 0 for piece in pieces):
        raise Refusal("bad-request", "not a list of pieces")
    replaced = request.header.get("replaced") is True
    part = PARTS.open(Area(request.header), request.header.get("staged"))
    with _source(request, staged=False) as descriptor, ThreadPoolExecutor(_WORKERS) as pool:

        def copy(run: Tuple[int, int, int]) -> None:
            to, at, size = run
            data = os.pread(descriptor, size, at)
            if len(data) < size:
                raise Refusal("changed", "the file on the pod became shorter meanwhile")
            if replaced:
                # What the cache held of it makes room for the new version: a pod's limit counts both, and in a virtual
                # machine memory that was never used costs more than the copying.
                os.posix_fadvise(descriptor, at, size, os.POSIX_FADV_DONTNEED)
            part.write(to, data)

        for number, _done in enumerate(pool.map(copy, _runs(pieces))):
            if number % 16 == 15:
                yield {}, b""
    yield {}, b""


def _runs(pieces: List[Tuple[int, int, int]]) -> Iterator[Tuple[int, int, int]]:
    """The same pieces, none larger than a thread copies at a time."""
    for to, at, size in pieces:
        for start in range(0, size, _COPY_BYTES):
            yield to + start, at + start, min(_COPY_BYTES, size - start)


@contextmanager
def _source(request: Request, staged: bool = True) -> Iterator[int]:
    area = Area(request.header)
    if staged and "staged" in request.header:
        descriptor = os.open(part_path(area, request.header["staged"]), READ)
    else:
        with Root(area, request.header.get("ino")) as root:
            folder, name = root.parent(request.header.get("path"))
            descriptor = os.open(name, READ, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Refusal("not-found", "not a file")
        yield descriptor
    finally:
        os.close(descriptor)


OPERATIONS: Dict[str, Handler] = {"files.blocks": blocks, "files.reuse": reuse}
