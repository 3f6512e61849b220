"""Large files cost what changed in them, and an upload that was cut goes on."""

from __future__ import annotations

import io
import os
import random

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devpod_rp.agent.files import content
from devpod_rp.agent.files.content import BLOCK_BYTES, blocks
from devpod_rp.pod.link import LinkLost
from devpod_rp.sync.delta import Piece, Version, gaps, inside, pieces
from tests.sync.conftest import Pair

MIB = 1 << 20


def version(data: bytes) -> Version:
    return Version(len(data), blocks(data))


def rebuilt(new: bytes, old: bytes) -> tuple[bytes, int]:
    """The new version from pieces of the old one and what is sent, and how much that is."""
    found = pieces(io.BytesIO(new), version(new), version(old))
    result = bytearray(len(new))
    for piece in found:
        result[piece.to : piece.to + piece.size] = old[piece.at : piece.at + piece.size]
    missing = gaps(found, len(new))
    for offset, size in missing:
        result[offset : offset + size] = new[offset : offset + size]
    return bytes(result), sum(size for _offset, size in missing)


OLD = random.Random(1).randbytes(5 * MIB + 12345)


@pytest.mark.parametrize(
    ("new", "sent"),
    [
        (OLD, 0),
        (OLD[: 2 * MIB] + b"x" * 1000 + OLD[2 * MIB + 1000 :], BLOCK_BYTES),
        (OLD + b"appended", 8),
        (b"inserted" + OLD, 8),
        (OLD[: 3 * MIB + 77] + b"in the middle" + OLD[3 * MIB + 77 :], BLOCK_BYTES + 13),
        (OLD[:MIB] + OLD[2 * MIB :], 0),
        (OLD[: 2 * MIB], 0),
        (b"", 0),
    ],
    ids=["same", "edited", "appended", "inserted in front", "inserted", "cut out", "truncated", "emptied"],
)
def test_only_what_changed_is_sent(new: bytes, sent: int) -> None:
    result, missing = rebuilt(new, OLD)
    assert result == new
    assert missing <= sent


@given(st.integers(0, len(OLD)), st.integers(0, len(OLD)), st.binary(max_size=50))
def test_whatever_was_edited_the_new_version_comes_out(start: int, end: int, text: bytes) -> None:
    new = OLD[: min(start, end)] + text + OLD[max(start, end) :]
    assert rebuilt(new, OLD)[0] == new


runs = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 8))).map(
    lambda steps: [(sum(map(sum, steps[:n])) + skip, size) for n, (skip, size) in enumerate(steps)]
)
"""(offset, size), in order, without overlap."""


@given(runs, runs)
def test_what_came_before_a_cut_is_not_copied_again(
    missing: list[tuple[int, int]], found: list[tuple[int, int]]
) -> None:
    kept = inside(missing, [Piece(offset, offset + 100, size) for offset, size in found])

    def covered(parts: list[tuple[int, int]]) -> list[int]:
        return [number for offset, size in parts for number in range(offset, offset + size)]

    assert covered([(piece.to, piece.size) for piece in kept]) == sorted({*covered(missing)} & {*covered(found)})
    assert {piece.at - piece.to for piece in kept} <= {100}


def test_a_large_file_that_was_edited_renamed_and_copied_arrives(pair: Pair) -> None:
    data = bytearray(OLD)
    pair.local.write("big.bin", bytes(data))
    pair.sync()
    data[MIB : MIB + 5] = b"edit!"
    pair.local.write("big.bin", b"front" + bytes(data))
    pair.sync()
    assert (pair.pod.root / "big.bin").read_bytes() == b"front" + bytes(data)
    os.rename(pair.local.root / "big.bin", pair.local.root / "renamed.bin")
    pair.sync()
    assert pair.pod.files().keys() == {"renamed.bin"}
    pair.local.write("copy.bin", (pair.local.root / "renamed.bin").read_bytes())
    pair.sync()
    assert pair.pod.files() == pair.local.files()
    assert pair.litter() == []


def test_the_pod_reads_no_large_file_that_is_deleted_or_that_just_arrived(pair: Pair) -> None:
    pair.local.write("big.bin", OLD)
    os.utime(pair.local.root / "big.bin", (1, 1))
    pair.sync()
    before = bytes_read(pair)
    pair.sync()
    pair.local.delete("big.bin")
    pair.sync()
    assert not (pair.pod.root / "big.bin").exists()
    assert bytes_read(pair) - before < len(OLD)


def bytes_read(pair: Pair) -> int:
    """What the agent has read so far."""
    assert pair.machine.pipe is not None
    shell = psutil.Process(pair.machine.pipe.process.pid)
    return sum(int(process.io_counters().read_chars) for process in (shell, *shell.children(recursive=True)))


def test_an_upload_that_was_cut_goes_on_where_it_was(pair: Pair) -> None:
    pair.sync()
    pair.local.write("big.bin", random.Random(2).randbytes(64 * MIB))
    stage = pair.volume / ".devpod_rp/stage"

    def cut(event: object) -> None:
        if any(part.stat().st_size > 16 * MIB for part in stage.glob("*/*.part")):
            pair.machine.close()

    pair.session.close()
    pair.session = pair.new_session(progress=cut)
    with pytest.raises(LinkLost):
        pair.sync()
    parts = list(stage.glob("*/*.part"))
    assert len(parts) == 1
    before = parts[0].stat().st_ino
    pair.session.close()
    pair.session = pair.new_session()
    pair.connect()
    assert [part.stat().st_ino for part in stage.glob("*/*.part")] == [before]
    pair.sync()
    assert (pair.pod.root / "big.bin").stat().st_ino == before, "the part itself became the file"
    assert pair.pod.files() == pair.local.files()
    assert pair.litter() == []


def test_an_upload_that_was_cut_uses_the_older_version_for_what_did_not_come(pair: Pair) -> None:
    old = random.Random(3).randbytes(16 * MIB)
    pair.local.write("big.bin", old)
    pair.sync()
    new = old[: 4 * MIB] + b"edit" + old[4 * MIB + 4 :]
    pair.local.write("big.bin", new)
    (stage,) = (pair.volume / ".devpod_rp/stage").iterdir()
    (stage / f"{content.digest(new)}.part").write_bytes(old[:MIB])
    before = psutil.Process().io_counters().write_chars
    pair.sync()
    assert (pair.pod.root / "big.bin").read_bytes() == new
    assert psutil.Process().io_counters().write_chars - before < 2 * MIB, "the rest was copied there, not sent"
