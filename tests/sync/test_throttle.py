"""The limit on what is sent and fetched, with a clock of its own."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from devpod_rp.sync.throttle import Throttle
from tests.sync.conftest import Pair


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@pytest.mark.parametrize("rate", [50e3, 2e6, 1e9])
def test_over_time_exactly_the_limit_goes(rate: float) -> None:
    time = Time()
    throttle = Throttle(rate, time.clock, time.sleep)
    for _ in range(200):
        throttle.take(70_000)
    # The first goes at once, the others wait for the one before.
    assert time.now - 100.0 == pytest.approx(199 * 70_000 / rate)


def test_what_was_not_used_is_not_saved_up() -> None:
    time = Time()
    throttle = Throttle(1e6, time.clock, time.sleep)
    throttle.take(1_000_000)
    time.now += 3600
    began = time.now
    for _ in range(11):
        throttle.take(1_000_000)
    assert time.now - began == pytest.approx(10)


def test_without_a_limit_nothing_waits() -> None:
    time = Time()
    throttle = Throttle(None, time.clock, time.sleep)
    for _ in range(100):
        throttle.take(1 << 40)
    assert time.now == 100.0
    assert throttle.portion(8 << 20) == 8 << 20


def test_a_limited_line_is_asked_for_a_second_at_a_time() -> None:
    assert Throttle(1e6).portion(8 << 20) == 1_000_000
    assert Throttle(50e3).portion(8 << 20) == 64 << 10
    assert Throttle(1e9).portion(8 << 20) == 8 << 20


@pytest.mark.parametrize("mode", ["one-way-safe", "two-way-safe"])
def test_a_limited_session_carries_everything_both_ways(tmp_path: Path, mode: str) -> None:
    noise = random.Random(4)
    pair = Pair(tmp_path, mode)
    try:
        pair.session = pair.new_session(bytes_per_second=20e6)
        here = {f"here/{n}": noise.randbytes(300_000) for n in range(9)} | {"large": noise.randbytes(5_000_000)}
        for path, content in here.items():
            pair.local.write(path, content)
        pair.sync()
        there = {f"there/{n}": noise.randbytes(300_000) for n in range(9)} | {"checkpoint": noise.randbytes(5_000_000)}
        for path, content in there.items():
            pair.pod.write(path, content)
        pair.sync()
        if mode == "one-way-safe":
            pair.session.pull()
        for path, content in (here | there).items():
            assert (pair.local.root / path).read_bytes() == (pair.pod.root / path).read_bytes() == content
    finally:
        pair.close()
