"""Finding what need not be sent of a large file, because the pod has it in an older version.

Blocks are compared where they lie and where they would lie if something had been inserted or removed: at the same
offset, and shifted by the difference in size. So an edit in place, an append, and an insertion anywhere cost about what
changed, and all of the comparing is done by the hash function, not by Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from devpod_rp.agent.reuse import BLOCK_BYTES, block_digest


@dataclass(frozen=True)
class Known:
    """A file on the pod: its size, and the digests of its blocks in order."""

    size: int
    digests: Sequence[bytes]


@dataclass(frozen=True)
class Piece:
    """*size* bytes at offset *to* of the new file are those at offset *at* of the known one."""

    to: int
    at: int
    size: int


def pieces(stream: BinaryIO, size: int, known: Known) -> list[Piece]:
    """The parts of *stream*, which is *size* bytes long, that *known* has; in order, without overlap, merged."""
    found: list[Piece] = []
    covered = [False] * len(known.digests)
    for shift in dict.fromkeys((0, size - known.size)):
        for number, digest in enumerate(known.digests):
            at = number * BLOCK_BYTES
            length = min(BLOCK_BYTES, known.size - at)
            to = at + shift
            if covered[number] or to < 0 or to + length > size:
                continue
            stream.seek(to)
            if block_digest(stream.read(length)) == digest:
                covered[number] = True
                found.append(Piece(to, at, length))
    return _merged(sorted(found, key=lambda piece: piece.to))


def gaps(covered: Sequence[Piece], size: int) -> list[tuple[int, int]]:
    """(offset, size) of what *covered* leaves out of a file of *size* bytes."""
    missing, end = [], 0
    for piece in covered:
        if piece.to > end:
            missing.append((end, piece.to - end))
        end = max(end, piece.to + piece.size)
    if end < size:
        missing.append((end, size - end))
    return missing


def _merged(found: list[Piece]) -> list[Piece]:
    merged: list[Piece] = []
    for piece in found:
        last = merged[-1] if merged else None
        if last is not None and piece.to < last.to + last.size:
            cut = last.to + last.size - piece.to
            if cut >= piece.size:
                continue
            piece = Piece(piece.to + cut, piece.at + cut, piece.size - cut)
        if last is not None and (last.to + last.size, last.at + last.size) == (piece.to, piece.at):
            merged[-1] = Piece(last.to, last.at, last.size + piece.size)
        else:
            merged.append(piece)
    return merged
