"""What is saved where not all of it fits: a pure choice, and room that a cluster's size does not inflate."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from devpod_rp.agent.files.fitting import OVERHEAD_BYTES, Piece, choose, room

pieces = st.lists(st.builds(Piece, st.integers(0, 8), st.integers(0, 10_000)), max_size=30)


def cost(taken: list[Piece]) -> int:
    first = {piece.content: piece.size_bytes for piece in reversed(taken)}
    return sum(first.values()) + OVERHEAD_BYTES * len(taken)


@given(pieces, st.integers(0, 200_000))
def test_what_is_chosen_fits_and_nothing_that_fits_beside_it_is_left(found: list[Piece], space: int) -> None:
    chosen = choose(found, space)
    taken = [piece for piece, fits in zip(found, chosen, strict=True) if fits]
    assert cost(taken) <= space
    for number, piece in enumerate(found):
        if not chosen[number]:
            before = [each for each, fits in zip(found[:number], chosen[:number], strict=True) if fits]
            assert cost([*before, piece]) > space, "it would have fitted when its turn came"


@given(pieces, st.integers(0, 200_000), st.integers(0, 10_000))
def test_a_less_precious_file_never_displaces_a_more_precious_one(found: list[Piece], space: int, size: int) -> None:
    assert choose([*found, Piece("last", size)], space)[: len(found)] == choose(found, space)


def test_everything_is_chosen_where_there_is_room() -> None:
    assert choose([Piece(1, 10**9), Piece(2, 5)], 2 * 10**9) == [True, True]


def test_a_second_name_of_the_same_bytes_costs_only_its_entry() -> None:
    assert choose([Piece(1, 5000), Piece(1, 5000)], 5000 + 2 * OVERHEAD_BYTES) == [True, True]


def test_the_room_on_a_part_of_a_cluster_is_its_own_size_less_what_is_on_it(tmp_path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(3_000_000))
    left = room(str(tmp_path), 5_000_000)
    assert 1_500_000 < left <= 2_000_000
    assert room(str(tmp_path), 1_000_000) == 0
    assert room(str(tmp_path)) > 5_000_000, "without a size the file system's word counts"


def test_a_file_with_two_names_is_counted_once(tmp_path) -> None:
    (tmp_path / "a").write_bytes(os.urandom(3_000_000))
    os.link(tmp_path / "a", tmp_path / "b")
    assert room(str(tmp_path), 5_000_000) > 1_500_000
