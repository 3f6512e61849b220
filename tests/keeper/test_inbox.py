"""News is read in the order in which it came, and nothing of it is lost while paths are awaited."""

from __future__ import annotations

from devpod_rp.keeper.clock import SystemClock
from devpod_rp.keeper.inbox import Inbox
from devpod_rp.sync.watch import Batch


def heard(*paths: str, full: bool = False) -> Batch:
    return Batch(frozenset(paths), full)


def filled(*messages: object) -> Inbox:
    inbox = Inbox(SystemClock())
    for message in messages:
        inbox.put(message)
    return inbox


def test_batches_that_follow_each_other_are_read_as_one() -> None:
    inbox = filled(heard("a"), heard("b", full=True), "news", heard("c"))
    assert inbox.read() == [heard("a", "b", full=True), "news", heard("c")]
    assert inbox.empty


def test_a_message_of_nothing_is_read_too() -> None:
    assert filled(None).read() == [None]


def test_what_is_no_path_waits_until_paths_have_settled() -> None:
    inbox = filled(heard("a"), "news", heard("b"), "more")
    assert inbox.settled(0.0) == {"a", "b"}
    assert not inbox.empty
    inbox.put("last")
    assert inbox.read() == ["news", "more", "last"]


def test_what_waits_since_then_comes_before_what_is_new() -> None:
    inbox = filled("news", heard("a"))
    inbox.settled(0.0)
    inbox.put("last")
    assert [inbox.next(0.0), inbox.next(0.0), inbox.next(0.0)] == ["news", "last", None]


def test_paths_that_never_settle_are_given_out_all_the_same() -> None:
    inbox = filled(*(heard(str(number)) for number in range(100)))
    some = inbox.settled(0.0)
    (rest,) = inbox.read()
    assert 0 < len(some) < 100
    assert some | rest.paths == {str(number) for number in range(100)}
