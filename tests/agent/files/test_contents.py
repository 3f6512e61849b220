"""What a scan has just read is kept for whoever sends it, but never much of it."""

from __future__ import annotations

import os

import pytest

from devpod_rp.agent.files import content
from devpod_rp.agent.files.contents import Contents


def test_what_was_read_is_given_once_and_only_as_the_version_that_it_is() -> None:
    contents = Contents()
    digest = contents.hold("a", b"one")
    assert digest == content.digest(b"one")
    assert contents.take("a", content.digest(b"two")) is None
    contents.hold("a", b"one")
    assert contents.take("a", digest) == b"one"
    assert contents.take("a", digest) is None


def test_no_more_is_wanted_than_there_is_room_for_and_what_was_taken_makes_room() -> None:
    contents = Contents(most_bytes=100_000)
    assert contents.wants(90_000)
    digest = contents.hold("a", bytes(90_000))
    assert not contents.wants(90_000)
    contents.take("a", digest)
    assert contents.wants(90_000)
    assert not Contents(most_bytes=1 << 30).wants(Contents.LARGEST + 1)


@pytest.mark.parametrize("count", [8, Contents.LARGEST // content.DIGEST_BYTES + 1])
def test_of_a_large_file_only_the_digests_of_its_blocks_are_kept(count: int) -> None:
    contents, blocks = Contents(), os.urandom(count * content.DIGEST_BYTES)
    digest = contents.hold_blocks("a", blocks)
    assert digest == content.name(blocks)
    assert contents.take("a", digest) is None
    assert contents.take_blocks("a", digest) == blocks
