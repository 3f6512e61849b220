"""What a keeper does next, decided without touching anything."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devpod_rp.keeper.state import Line, State, Step, Timing

TIMING = Timing()
NEW = State(TIMING)
LINKED = NEW.connecting().linked(0.0)
WATCHING = LINKED.synchronised(frozenset(), True, 0.0)


def test_a_new_keeper_connects_then_looks_at_everything_then_waits() -> None:
    assert NEW.next_step(0.0) == (Step.CONNECT, 0.0)
    assert NEW.connecting().next_step(0.0) == (Step.WAIT, 5.0)
    assert LINKED.next_step(0.0) == (Step.FULL, 0.0)
    assert WATCHING.next_step(0.0) == (Step.WAIT, 5.0)


def test_everything_is_looked_at_once_a_minute() -> None:
    assert WATCHING.next_step(57.0) == (Step.WAIT, 3.0)
    assert WATCHING.next_step(60.0) == (Step.FULL, 0.0)


def test_what_was_heard_of_is_synchronised_at_once() -> None:
    heard = WATCHING.heard(frozenset({"a"}), False, 1.0).heard(frozenset({"b"}), False, 1.0)
    assert heard.next_step(1.0) == (Step.QUICK, 0.0)
    assert heard.paths == {"a", "b"}


def test_quick_cycles_do_not_put_off_the_full_one() -> None:
    busy = WATCHING.heard(frozenset({"a"}), False, 59.0).synchronised(frozenset(), False, 59.0)
    assert busy.next_step(60.0) == (Step.FULL, 0.0)


def test_when_the_watcher_cannot_say_where_everything_is_looked_at() -> None:
    assert WATCHING.heard(frozenset(), True, 1.0).next_step(1.0) == (Step.FULL, 0.0)


def test_files_that_were_being_written_are_tried_again_soon() -> None:
    deferred = WATCHING.synchronised(frozenset({"growing"}), False, 1.0)
    assert deferred.next_step(1.0) == (Step.WAIT, 0.5)
    assert deferred.next_step(1.5) == (Step.QUICK, 0.0)
    assert deferred.paths == {"growing"}


def test_failed_attempts_to_connect_become_rarer_up_to_half_a_minute() -> None:
    state, waits = NEW, []
    for _ in range(7):
        state = state.connecting().failed("nobody answers", 100.0)
        waits.append(state.connect_at - 100.0)
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_connection_that_worked_is_sought_again_at_once() -> None:
    assert WATCHING.lost("gone", 10.0).next_step(10.0) == (Step.CONNECT, 0.0)


def test_a_pod_that_takes_connections_and_breaks_them_is_not_pestered() -> None:
    state, waits = WATCHING, []
    for _ in range(4):
        state = state.lost("gone", 10.0)
        waits.append(state.connect_at - 10.0)
        state = state.connecting().linked(10.0)
    assert waits == [0.0, 2.0, 4.0, 8.0]
    assert state.synchronised(frozenset(), True, 10.0).lost("gone", 10.0).connect_at == 10.0


def test_a_pod_that_rests_is_looked_after_every_fifteen_seconds_however_long() -> None:
    state = WATCHING
    for _ in range(5):
        state = state.pod_rests("the pod is EXITED", 100.0)
        assert state.next_step(100.0) == (Step.WAIT, 5.0)
        assert state.next_step(115.0) == (Step.CONNECT, 0.0)
        state = state.connecting()


def test_a_flush_waits_for_no_time() -> None:
    assert WATCHING.flush(True).next_step(1.0) == (Step.FULL, 0.0)
    assert WATCHING.pod_rests("EXITED", 1.0).flush(True).next_step(1.0) == (Step.CONNECT, 0.0)
    assert NEW.connecting().flush(True).next_step(1.0) == (Step.WAIT, 4.0)


def test_nothing_is_synchronised_while_paused_and_everything_afterwards() -> None:
    paused = WATCHING.pause().heard(frozenset({"a"}), True, 1.0)
    assert paused.next_step(1000.0) == (Step.WAIT, 5.0)
    assert paused.resume(1000.0).next_step(1000.0) == (Step.FULL, 0.0)


def test_a_halt_is_looked_at_again_once_a_minute_or_soon_after_something_happened() -> None:
    halted = WATCHING.halt("emptied", 0.0)
    assert halted.next_step(59.0)[0] is Step.WAIT
    assert halted.next_step(60.0)[0] is Step.FULL
    heard = halted.heard(frozenset({"a"}), False, 1.0).heard(frozenset({"b"}), False, 3.0)
    assert heard.next_step(5.9)[0] is Step.WAIT
    assert heard.next_step(6.0)[0] is Step.FULL
    assert heard.synchronised(frozenset(), True, 6.0).halted is False


def test_resuming_ends_a_halt_at_once() -> None:
    resumed = WATCHING.halt("emptied", 0.0).resume(1.0)
    assert (resumed.halted, resumed.next_step(1.0)[0]) == (False, Step.FULL)


def test_events_do_not_turn_a_failing_cycle_into_a_storm() -> None:
    stumbled = WATCHING.stumbled("the agent refused", 0.0).stumbled("the agent refused", 0.0)
    heard = stumbled.heard(frozenset({"a"}), True, 0.1)
    assert heard.paths == {"a"}
    assert heard.next_step(1.9)[0] is Step.WAIT
    assert heard.next_step(2.0)[0] is Step.FULL


def test_after_a_sleep_nothing_waits_for_its_old_time() -> None:
    assert WATCHING.woke(1.0).next_step(1.0)[0] is Step.FULL
    assert NEW.connecting().failed("nobody", 0.0).woke(0.5).next_step(0.5)[0] is Step.CONNECT


@pytest.mark.parametrize(
    ("state", "session", "shown"),
    [
        (NEW, "disconnected", "disconnected"),
        (NEW.connecting(), "disconnected", "disconnected"),
        (LINKED, "disconnected", "scanning"),
        (LINKED.stumbled("refused", 0.0), "disconnected", "disconnected"),
        (WATCHING, "watching", "watching"),
        (WATCHING, "syncing", "syncing"),
        (WATCHING, "scanning", "scanning"),
        (WATCHING.halt("emptied", 0.0), "watching", "halted"),
        (WATCHING, "halted", "halted"),
        (WATCHING.pause(), "watching", "paused"),
        (WATCHING.halt("emptied", 0.0).pause(), "halted", "paused"),
        (NEW.pause(), "disconnected", "paused"),
        (WATCHING.lost("gone", 0.0), "watching", "disconnected"),
    ],
)
def test_what_a_user_sees(state: State, session: str, shown: str) -> None:
    assert state.shown(session) == shown


MOVES = (
    "connecting", "linked", "failed", "lost", "pod_rests", "heard", "synchronised", "halt", "stumbled", "pause",
    "resume", "woke", "flush",
)  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(MOVES), st.floats(0.0, 40.0))))
def test_whatever_happens_a_keeper_neither_spins_nor_sleeps_for_ever(moves: list[tuple[str, float]]) -> None:
    state, now = NEW, 0.0
    for move, passed in moves:
        now += passed
        state = _moved(state, move, now)
        step, seconds = state.next_step(now)
        if step is Step.WAIT:
            assert 0.0 < seconds <= TIMING.tick_seconds
        assert state.line is Line.UP or step not in (Step.QUICK, Step.FULL)
        assert not (state.paused and step in (Step.QUICK, Step.FULL))
    if not state.paused and state.line is not Line.CONNECTING:
        assert state.next_step(now + TIMING.full_seconds)[0] is not Step.WAIT


def _moved(state: State, move: str, now: float) -> State:
    if move in ("connecting", "pause"):
        return dataclasses.replace(getattr(state, move)(), quick_at=None)
    if move in ("linked", "resume", "woke"):
        return getattr(state, move)(now)  # type: ignore[no-any-return]
    if move == "heard":
        return state.heard(frozenset({"a"}), False, now)
    if move == "synchronised":
        return state.synchronised(frozenset(), state.line is Line.UP, now)
    if move == "flush":
        return state.flush(not state.flushing)
    return getattr(state, move)("why", now)  # type: ignore[no-any-return]
