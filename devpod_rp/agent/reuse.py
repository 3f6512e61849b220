"""What the pod already has of a large file: told block by block, and copied there instead of being sent again."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from contextlib import contextmanager
from typing import Dict, Iterator, Tuple

from devpod_rp.agent.batch import inflated
from devpod_rp.agent.commit import open_part, part_path
from devpod_rp.agent.roots import Area, Root
from devpod_rp.agent.staging import write
from devpod_rp.agent.versions import READ
from devpod_rp.agent.wire import Handler, Header, Refusal, Request

BLOCK_BYTES = 256 << 10
DIGEST_BYTES = 16
_BLOCKS_PER_FRAME = 128
_COPY_BYTES = 1 << 20
_COPIED_PER_FRAME = 64 << 20

Replies = Iterator[Tuple[Header, bytes]]


def block_digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def blocks(request: Request) -> Replies:
    """Op ``files.blocks {root, state, ino, path or staged}``: the digests of each 256 KiB, in order, the last one of
    what remains. Refuses with "not-found" where there is no such file."""
    with _source(request) as descriptor:
        digests = bytearray()
        while True:
            data = os.read(descriptor, BLOCK_BYTES)
            if not data:
                break
            digests += block_digest(data)
            if len(digests) >= _BLOCKS_PER_FRAME * DIGEST_BYTES:
                yield {}, bytes(digests)
                digests = bytearray()
        yield {"size": os.lseek(descriptor, 0, os.SEEK_CUR)}, bytes(digests)


def reuse(request: Request) -> Replies:
    """Op ``files.reuse {root, state, ino, path, staged, packed}``, body: a JSON list of [offset there, offset here,
    size]: copy these pieces of the file at *path* into the part. What comes of it is verified when it is applied."""
    try:
        pieces = [(int(to), int(at), int(size)) for to, at, size in json.loads(inflated(request).decode("ascii"))]
    except (ValueError, TypeError) as error:
        raise Refusal("bad-request", "not a list of pieces") from error
    if any(min(piece) < 0 for piece in pieces):
        raise Refusal("bad-request", "not a list of pieces")
    target = open_part(Area(request.header), request.header.get("staged"))
    try:
        with _source(request, staged=False) as descriptor:
            copied = 0
            for to, at, size in pieces:
                os.lseek(target, to, os.SEEK_SET)
                while size:
                    data = os.pread(descriptor, min(size, _COPY_BYTES), at)
                    if not data:
                        raise Refusal("changed", "the file on the pod became shorter meanwhile")
                    write(target, data)
                    at += len(data)
                    size -= len(data)
                    copied += len(data)
                    if copied >= _COPIED_PER_FRAME:
                        yield {}, b""
                        copied = 0
    finally:
        os.close(target)
    yield {}, b""


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
