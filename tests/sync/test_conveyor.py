"""Work that is prepared in threads, sent in order by another, and answered while the next is on its way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from devpod_rp.errors import UnreachableError
from devpod_rp.sync.conveyor import Conveyor

pytestmark = pytest.mark.timeout(30)


class Wire:
    """Remembers what was sent, and answers with it; *holds* keeps it from taking anything."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.taken: list[int] = []
        self.most_under_way = 0
        self.holds = threading.Event()
        self.holds.set()

    def send(self, number: int) -> Callable[[], int]:
        self.holds.wait()
        self.sent.append(number)
        self.most_under_way = max(self.most_under_way, len(self.sent) - len(self.taken))
        return lambda: number

    def conveyor(self, under_way: int = 4) -> Conveyor[int, int]:
        return Conveyor(self.send, self.taken.append, under_way)


def _carry(conveyor: Conveyor[int, int], numbers: range, prepare: Callable[[int], int]) -> None:
    with conveyor:
        for number in numbers:
            conveyor.put(prepare, number)


def _slow_for_even(number: int) -> int:
    time.sleep(0.002 * (number % 2 == 0))
    return number


def test_what_takes_longer_to_prepare_is_still_sent_and_taken_in_order() -> None:
    wire = Wire()
    with wire.conveyor() as conveyor:
        for number in range(50):
            conveyor.put(_slow_for_even, number)
    assert wire.sent == wire.taken == list(range(50))


def test_only_so_many_answers_are_waited_for() -> None:
    wire = Wire()
    with wire.conveyor(under_way=3) as conveyor:
        for number in range(50):
            conveyor.put(_slow_for_even, number)
    assert wire.most_under_way <= 4


def test_the_caller_goes_on_while_the_wire_takes_nothing() -> None:
    wire = Wire()
    wire.holds.clear()
    with wire.conveyor(under_way=3) as conveyor:
        for number in range(3):
            conveyor.put(_slow_for_even, number)
        assert wire.sent == []
        wire.holds.set()
    assert wire.taken == [0, 1, 2]


def test_no_more_is_prepared_than_may_wait_for_the_wire() -> None:
    wire = Wire()
    prepared: list[int] = []
    wire.holds.clear()

    def prepare(number: int) -> int:
        prepared.append(number)
        return number

    def carry() -> None:
        _carry(Conveyor(wire.send, wire.taken.append, 20, unsent=3), range(50), prepare)

    carrying = threading.Thread(target=carry)
    carrying.start()
    time.sleep(0.1)
    assert sorted(prepared) == [0, 1, 2]
    wire.holds.set()
    carrying.join()
    assert wire.taken == list(range(50))


def test_a_wire_that_breaks_lets_go_of_who_waits_for_room() -> None:
    def send(_number: int) -> Callable[[], int]:
        raise UnreachableError("The link broke.")

    with pytest.raises(UnreachableError):
        _carry(Conveyor(send, lambda _answer: None, 20, unsent=1), range(50), _slow_for_even)


def test_nothing_is_sent_after_what_could_not_be_prepared() -> None:
    wire = Wire()

    def prepare(number: int) -> int:
        if number == 3:
            raise FileNotFoundError("gone")
        return number

    with pytest.raises(FileNotFoundError):
        _carry(wire.conveyor(under_way=20), range(10), prepare)
    assert wire.sent == [0, 1, 2]


def test_an_answer_that_never_comes_ends_it_and_nothing_more_is_sent() -> None:
    sent: list[int] = []

    def send(number: int) -> Callable[[], int]:
        sent.append(number)

        def answer() -> int:
            raise UnreachableError("The link broke.")

        return answer

    with pytest.raises(UnreachableError):
        _carry(Conveyor(send, sent.append, 1), range(1000), _slow_for_even)
    assert len(sent) < 10


def test_an_error_of_the_caller_waits_for_what_is_under_way() -> None:
    wire = Wire()

    def fails() -> None:
        with wire.conveyor(under_way=20) as conveyor:
            conveyor.put(_slow_for_even, 0)
            while not wire.sent:
                time.sleep(0.001)
            raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        fails()
    assert wire.taken == []
    assert wire.sent == [0]


def test_who_interrupts_does_not_wait_for_a_wire_that_is_stuck() -> None:
    wire = Wire()
    wire.holds.clear()

    def is_interrupted() -> None:
        with wire.conveyor(under_way=20) as conveyor:
            for number in range(3):
                conveyor.put(_slow_for_even, number)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        is_interrupted()
    wire.holds.set()  # as the end of the connection would
    time.sleep(0.05)
    assert wire.sent in ([], [0]), "what was on its way at that moment, and nothing after it"
