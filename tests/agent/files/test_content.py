"""A file's digest is one and the same, however its content is looked at."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devpod_rp.agent.files import content
from devpod_rp.agent.files.content import BLOCK_BYTES, Growing

SIZES = [0, 1, 1000, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 4 * BLOCK_BYTES, (1 << 20) + 7, (20 << 20) + 12345]


@pytest.mark.parametrize("size", SIZES)
def test_an_open_file_bytes_and_a_stream_have_the_same_digest(tmp_path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    (tmp_path / "file").write_bytes(data)
    digest = content.digest(data)
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        assert content.digest_of(descriptor, size) == digest
        assert content.name(content.blocks_of(descriptor, size)) == digest
        os.lseek(descriptor, 0, os.SEEK_SET)
        assert content.digest_of(descriptor, 10) == digest, "the size is only a guess for small files"
    finally:
        os.close(descriptor)
    growing = Growing()
    chance = random.Random(1)
    at = 0
    while at < size:
        step = chance.choice([1, 1000, BLOCK_BYTES, 3 * BLOCK_BYTES + 5, 8 << 20])
        growing.add(data[at : at + step])
        at += step
    assert growing.digest() == digest


def test_a_file_of_one_block_has_the_plain_digest_of_its_content() -> None:
    assert content.digest(b"abc") == hashlib.sha256(b"abc").hexdigest()[:32]


def test_a_file_of_digests_is_not_taken_for_the_file_they_are_of() -> None:
    large = bytes(2 * BLOCK_BYTES)
    assert content.digest(content.blocks(large)) != content.digest(large)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_other_content_has_another_digest(one: bytes, other: bytes) -> None:
    assert (content.digest(one) == content.digest(other)) is (one == other)
