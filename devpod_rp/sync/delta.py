"""Finding what need not be sent of a large file, because the pod has it in an older version.

Blocks are compared where they lie and where they would lie if something had been inserted or removed: at the same
offset, and shifted by the difference in size. So an edit in place, an append, and an insertion anywhere cost about what
changed. Where the digests of both versions are known, which is the rule, nothing is read for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from devpod_rp.agent.files.content import BLOCK_BYTES, DIGEST_BYTES, block_digest

_MISSES = 16
"""So many shifted blocks in a row that differ mean that the end was not shifted."""


@dataclass(frozen=True)
class Version:
    """A file's size, and the digests of its blocks, one after the other."""

    size: int
    blocks: bytes

    def __len__(self) -> int:
        return len(self.blocks) // DIGEST_BYTES

    def block(self, number: int) -> bytes:
        return self.blocks[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]

    def length(self, number: int) -> int:
        """Bytes in block *number*."""
        return min(BLOCK_BYTES, self.size - number * BLOCK_BYTES)


@dataclass(frozen=True)
class Piece:
    """*size* bytes at offset *to* of the new file are those at offset *at* of the known one."""

    to: int
    at: int
    size: int


def pieces(stream: BinaryIO, new: Version, known: Version) -> list[Piece]:
    """The parts of *new*, whose content is *stream*, that *known* has; in order, without overlap, merged."""
    found = []
    for number in range(len(known)):
        at, size = number * BLOCK_BYTES, known.length(number)
        if 0 < size <= new.size - at and _digest_at(stream, new, at, size) == known.block(number):
            found.append(Piece(at, at, size))
    shift = new.size - known.size
    if shift:
        in_place = {piece.at for piece in found}
        found += [piece for piece in _shifted(stream, new, known, shift) if piece.at not in in_place]
    return _merged(sorted(found, key=lambda piece: piece.to))


def _shifted(stream: BinaryIO, new: Version, known: Version, shift: int) -> Iterator[Piece]:
    misses = 0
    for number in range(len(known) - 1, -1, -1):
        at, size = number * BLOCK_BYTES, known.length(number)
        to = at + shift
        if to < 0 or misses >= _MISSES:
            return
        if _digest_at(stream, new, to, size) == known.block(number):
            misses = 0
            yield Piece(to, at, size)
        else:
            misses += 1


def _digest_at(stream: BinaryIO, new: Version, offset: int, size: int) -> bytes:
    number, within = divmod(offset, BLOCK_BYTES)
    if not within and new.length(number) == size:
        return new.block(number)
    stream.seek(offset)
    return block_digest(stream.read(size))


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


def inside(missing: Sequence[tuple[int, int]], found: Sequence[Piece]) -> list[Piece]:
    """What of *found* lies in the *missing* parts of the file, which :func:`gaps` listed; both in order."""
    kept, number = [], 0
    for piece in found:
        end = piece.to + piece.size
        while number < len(missing) and missing[number][0] < end:
            offset, size = missing[number]
            start, stop = max(piece.to, offset), min(end, offset + size)
            if start < stop:
                kept.append(Piece(start, piece.at + start - piece.to, stop - start))
            if offset + size > end:
                break  # the next piece may lie in it, too
            number += 1
    return kept


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
