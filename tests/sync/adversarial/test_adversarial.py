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

from tests.sync.adversarial import both_sides, content, editors, full, kinds, machines, names, roots, storms, transfers
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
    3: ("I1", [
        names.both_unicode_forms_of_one_name_are_two_files,
        *elsewhere("tests.sync.test_disks", "test_both_forms_of_an_accent_are_one_name_to_a_disk_that_says_so"),
    ]),
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
    7: ("I6 I8", [
        kinds.empty_folders_travel_and_odd_modes_stay_where_they_are,
        kinds.what_may_not_be_read_is_named_and_not_taken_for_deleted,
        kinds.what_may_not_be_read_on_the_pod_is_named_and_not_taken_for_deleted,
    ]),
    8: ("I1 I3 I4", [
        content.executable_bits_travel_alone_and_toggled_on_both_sides_they_lose_nothing,
        content.a_disk_without_executable_bits_neither_takes_them_away_nor_gives_them,
    ]),
    9: ("I3 I5 I6", [
        kinds.links_travel_as_text_and_those_that_lead_out_stay_and_are_named,
        kinds.a_link_becomes_a_folder_and_a_folder_a_link_on_either_side,
    ]),
    10: ("I5", [kinds.a_folder_flipping_to_a_link_out_of_the_root_leads_nowhere]),
    11: ("I6 I8", [
        kinds.pipes_sockets_and_devices_are_named_and_never_opened,
        kinds.a_device_is_named_and_never_opened,
        kinds.hard_links_become_files_of_their_own,
        kinds.a_disk_mounted_below_either_folder_is_written_to_or_named,
        kinds.a_disk_below_the_folder_that_is_unmounted_takes_nothing_from_the_other_side,
    ]),
    12: ("I3", [content.a_sparse_file_stays_sparse_both_ways]),
    13: ("I3", [
        content.a_rewrite_of_the_same_size_in_the_same_tick_is_found,
        content.a_rewrite_whose_times_were_put_back_is_found,
    ]),
    14: ("I3", [
        content.clocks_a_day_apart_decide_nothing,
        content.a_disk_that_counts_in_seconds_hides_no_rewrite,
        content.times_beyond_every_calendar_are_carried_or_left_but_stop_nothing,
        *elsewhere(
            "tests.keeper.test_service", "test_after_a_sleep_the_connection_is_checked_and_everything_looked_at"
        ),
    ]),
    15: ("I1 I2 I4", [editors.whatever_way_an_editor_saves_the_other_side_never_sees_a_gap]),
    16: ("I1 I2", [editors.a_file_that_is_empty_while_it_is_saved_does_not_arrive_empty]),
    17: ("I2 I6", [
        editors.a_log_that_never_stops_growing_arrives_in_whole_pieces,
        editors.a_database_that_is_written_arrives_whole_when_it_rests,
    ]),
    18: ("I2 I3", [
        transfers.a_file_rewritten_during_its_own_transfer_never_arrives_mixed,
        *elsewhere("tests.sync.test_faults", "test_a_file_that_is_written_while_it_is_sent_never_arrives_torn"),
    ]),
    19: ("I3 I8", [
        transfers.a_file_deleted_during_its_own_transfer_leaves_nothing_half,
        transfers.a_folder_renamed_during_its_transfer_arrives_under_its_new_name,
    ]),
    20: ("I1", [
        both_sides.edits_on_both_sides_within_one_round_trip_conflict_and_the_same_edit_does_not,
        *elsewhere(
            "tests.agent.sync.test_applying",
            "test_what_is_saved_in_the_very_moment_of_the_replacement_is_never_lost",
        ),
    ]),
    21: ("I1 I3", [
        both_sides.any_two_deeds_at_one_path_lose_nothing_both_ways,
        both_sides.any_two_deeds_at_one_path_lose_nothing_one_way,
        both_sides.a_swap_of_two_files_meets_an_edit_of_one,
    ]),
    22: ("I1", elsewhere("tests.sync.adversarial.both_sides", "any_two_deeds_at_one_path_lose_nothing_both_ways")),
    23: ("I3 I4", [
        editors.a_real_checkout_of_a_branch_arrives_as_it_is,
        *elsewhere("tests.sync.test_watch", "test_a_running_git_command_holds_the_batch_back"),
    ]),
    24: ("I3", [storms.a_flood_of_new_files_and_their_removal_end_equal]),
    25: ("I3", [
        storms.events_that_the_pods_kernel_dropped_cost_time_not_files,
        *elsewhere("tests.agent.files.test_inotify", "test_when_the_kernel_drops_events_everything_is_lost"),
    ]),
    26: ("I3 I6", [
        storms.a_pod_that_allows_few_watches_is_looked_at_and_says_so,
        *elsewhere("tests.agent.files.test_inotify", "test_a_reached_limit_is_told"),
        *elsewhere(
            "tests.keeper.test_service",
            "test_a_folder_that_cannot_be_watched_is_looked_at_instead_and_status_says_so",
        ),
    ]),
    27: ("I3", [storms.folders_that_appear_move_and_leave_while_they_are_written_are_followed]),
    28: ("I1 I8", elsewhere("tests.sync.test_disasters", "test_the_folder_here_is_untouched")),
    29: ("I8", [
        roots.a_folder_here_that_is_gone_emptied_or_unmounted_takes_nothing_from_the_pod,
        roots.a_disk_here_that_is_unmounted_or_changed_for_another_takes_nothing_from_the_pod,
    ]),
    30: ("I8", [
        roots.a_listing_that_fails_with_the_disk_is_no_deletion,
        *elsewhere("tests.sync.adversarial.kinds", "what_may_not_be_read_is_named_and_not_taken_for_deleted"),
    ]),
    31: ("I1 I2 I6", [
        full.a_full_volume_keeps_what_was_there_and_takes_the_rest_when_there_is_room,
        full.a_full_disk_here_is_said_and_nothing_is_taken_for_done,
        full.no_room_for_our_own_memory_is_one_clear_error_and_loses_nothing,
    ]),
    32: ("I3 I6", [
        full.what_may_not_be_written_is_named_and_the_rest_arrives,
        full.a_volume_that_turns_read_only_is_named_and_goes_on_when_it_may_be_written,
    ]),
    33: ("I7", [
        machines.a_line_cut_at_any_byte_in_either_direction_costs_only_time,
        *elsewhere("tests.sync.test_cuts", "test_a_connection_cut_at_any_point_of_a_storm_costs_only_time"),
        *elsewhere(
            "tests.keeper.test_service", "test_a_connection_that_is_only_half_open_is_noticed_and_replaced"
        ),
    ]),
    34: ("I7", [
        machines.an_agent_killed_at_any_moment_of_either_direction_costs_only_time,
        *elsewhere("tests.sync.test_faults", "test_a_client_killed_at_any_moment_leaves_nothing_behind_that_hurts"),
    ]),
    35: ("I1 I6", [
        machines.a_machine_that_slept_while_another_took_over_overwrites_nothing_when_it_wakes,
        *elsewhere(
            "tests.sync.test_two_machines",
            "test_the_second_machine_halts_and_changes_nothing_on_either_side",
            "test_who_takes_over_stops_the_other_one",
        ),
        *elsewhere("tests.sync.test_session", "test_one_process_at_a_time"),
    ]),
    36: ("I1 I8", [
        roots.a_lost_memory_deletes_nothing_on_either_side,
        roots.an_old_memory_deletes_nothing_that_came_since,
        roots.the_memory_of_another_project_is_noticed_before_anything_is_done,
        roots.a_memory_full_of_rubbish_is_set_aside_and_nothing_is_deleted,
    ]),
    37: ("I6", [
        machines.a_python_without_ctypes_runs_the_agent,
        *elsewhere(
            "tests.pod.test_bootstrap",
            "test_every_python_from_3_8_on_runs_the_agent",
            "test_what_the_shells_start_files_print_is_skipped",
            "test_python_variables_a_struct_py_in_the_folder_and_a_sitecustomize_change_nothing",
        ),
    ]),
    38: ("I6", elsewhere("tests.pod.test_link", "test_an_agent_of_another_version_is_refused_with_a_clear_error")),
    39: ("I5", [
        machines.whatever_an_agent_says_nothing_outside_the_folder_is_touched,
        machines.a_link_that_the_pod_plants_is_never_written_through,
        *elsewhere("tests.agent.sync.test_applying", "test_a_hostile_frame_is_refused_whole"),
        *elsewhere("tests.pod.test_link", "test_what_is_not_the_protocol_ends_the_link"),
    ]),
    40: ("I8", [both_sides.rules_edited_while_everything_runs_delete_nothing_and_count_at_once]),
    41: ("I1 I6", [both_sides.an_ignored_file_keeps_its_folder_when_the_other_side_deletes_it]),
    42: ("I3", [storms.a_large_tree_and_a_deep_one_arrive_in_bounded_time_and_memory]),
    43: ("I3 I6", [content.a_file_that_grows_past_a_border_and_shrinks_again_arrives_each_time]),
    44: ("I7 I8", [
        machines.a_pod_whose_container_disk_was_reset_but_not_its_volume_needs_no_upload,
        machines.a_pod_whose_volume_was_lost_halts_and_a_yes_fills_the_new_one,
        *elsewhere(
            "tests.end_to_end.test_bad_days", "test_an_impostor_at_the_pods_address_is_refused_by_everybody"
        ),
    ]),
    45: ("I7", [machines.an_agent_starved_of_time_is_waited_for_and_nothing_is_torn]),
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


def test_every_case_of_the_list_is_played() -> None:
    assert list(CASES) == list(range(1, 46))
    assert all(plays for _, plays in CASES.values())
