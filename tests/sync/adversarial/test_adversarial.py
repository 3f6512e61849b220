"""The adversarial list: what has cost other synchronisers their users' files, each case played against ours.

The invariants a case guards:

I1 no version that was the latest on its side is lost · I2 a visible path is old or new in full · I3 quiet means equal ·
I4 each edit is sent once, and no echo follows · I5 nothing outside both folders is read or written · I6 what is not
synchronised is named · I7 a kill or a cut at any moment costs only time · I8 only what was seen to go is deleted.

A case is played by every function beside it, under the function's name; what stands behind ``elsewhere`` is guarded by
tests that have a better place, and is only looked up.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.sync.adversarial import content, names
from tests.sync.adversarial.scene import Scene

pytestmark = [pytest.mark.slow]

Play = Callable[[Scene], None]


def elsewhere(module: str, *tests: str) -> list[Play]:
    """Plays that make sure that *tests* of *module* exist."""

    def looked_up(test: str) -> Play:
        def exists(_scene: Scene) -> None:
            assert callable(getattr(importlib.import_module(module), test))

        exists.__name__ = f"{test} in {module}"
        return exists

    return [looked_up(test) for test in tests]


CASES: dict[int, tuple[str, list[Play]]] = {
    1: ("I1 I3 I6", [
        names.strange_names_arrive_byte_by_byte_both_ways,
        names.a_path_beyond_4096_bytes_is_named_and_holds_nothing_else_up,
    ]),
    2: ("I3", [names.names_that_are_no_text_arrive_byte_by_byte]),
    3: ("I1", [names.both_unicode_forms_of_one_name_are_two_files]),
    4: ("I1 I3 I6", [
        names.names_that_differ_in_case_only_are_named_not_merged_on_a_pod_that_folds_case,
        names.names_that_differ_in_case_only_are_named_not_merged_on_a_folder_here_that_folds_case,
        names.a_rename_that_changes_the_case_only_reaches_a_disk_that_folds_case,
    ]),
    5: ("I6", [
        names.names_that_the_pods_disk_refuses_are_named,
        *elsewhere("tests.sync.test_disks", "test_a_name_that_a_disk_refuses_is_known_beforehand"),
    ]),
    6: ("I3", [content.files_at_every_border_of_frames_and_blocks_arrive_whole_both_ways]),
    8: ("I1 I3 I4", [
        content.executable_bits_travel_alone_and_toggled_on_both_sides_they_lose_nothing,
        content.a_disk_without_executable_bits_neither_takes_them_away_nor_gives_them,
    ]),
    12: ("I3", [content.a_sparse_file_stays_sparse_both_ways]),
    13: ("I3", [
        content.a_rewrite_of_the_same_size_in_the_same_tick_is_found,
        content.a_rewrite_whose_times_were_put_back_is_found,
    ]),
    14: ("I3", [
        content.clocks_a_day_apart_decide_nothing,
        content.times_beyond_every_calendar_are_carried_or_left_but_stop_nothing,
    ]),
    43: ("I3 I6", [content.a_file_that_grows_past_a_border_and_shrinks_again_arrives_each_time]),
}  # fmt: skip


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with contextlib.ExitStack() as stack:
        yield Scene(tmp_path, stack, monkeypatch)


@pytest.mark.parametrize(
    "play",
    [pytest.param(play, id=f"{number:02}-{play.__name__}") for number, (_, plays) in CASES.items() for play in plays],
)
def test_case(scene: Scene, play: Play) -> None:
    play(scene)
