"""When a pod ends by itself, as tables."""

from __future__ import annotations

import pytest

from devpod_rp.agent.watchdog.limits import Facts, Limits, Sample, decide, idle_since, spoken

START = 1_000_000.0
FACTS = Facts(started_at=START, laptop_at=START)
TRAIN = ("python train.py, GPU 93 %",)


def samples(*uses: tuple[str, ...], every: float = 15.0, begin: float = START) -> list[Sample]:
    return [Sample(begin + every * number, each) for number, each in enumerate(uses)]


IDLE_HOUR = samples(*[()] * 241)
USED_AT_FIRST = samples(TRAIN, *[()] * 240)
USED_AT_LAST = samples(*[()] * 240, TRAIN)


@pytest.mark.parametrize(
    ("limits", "seen", "after", "action", "reason"),
    [
        (Limits(), IDLE_HOUR, 3600, "keep", "no limit applies"),
        (Limits(idle_seconds=3600), IDLE_HOUR, 3599, "warn", "nothing has used it for 1h, the idle_stop"),
        (Limits(idle_seconds=3600), IDLE_HOUR, 3600, "stop", "nothing has used it for 1h, the idle_stop"),
        (Limits(idle_seconds=3600), USED_AT_LAST, 3600, "keep", "kept awake by python train.py, GPU 93 %"),
        (Limits(idle_seconds=7200), USED_AT_FIRST, 3600, "keep", "not used for 1h"),
        (Limits(idle_seconds=60), IDLE_HOUR[:2], 3600, "keep", "no limit applies"),
        (Limits(idle_seconds=60, snooze_until=START + 7200), IDLE_HOUR, 3600, "keep", "snoozed"),
        (Limits(idle_seconds=60, snooze_until=START + 3600), IDLE_HOUR, 3600, "stop", "nothing has used it for 1m"),
        (Limits(runtime_seconds=8 * 3600), USED_AT_LAST, 3600, "keep", "kept awake by python train.py"),
        (Limits(runtime_seconds=8 * 3600), USED_AT_LAST, 8 * 3600 - 299, "warn", "it has run for 8h, the max_runtime"),
        (Limits(runtime_seconds=8 * 3600), USED_AT_LAST, 8 * 3600, "stop", "it has run for 8h, the max_runtime"),
        (Limits(runtime_seconds=60, snooze_until=START + 90), IDLE_HOUR, 80, "warn", "it has run for 1m"),
        (Limits(cost_usd=5, usd_per_hour=0.5), USED_AT_LAST, 36_000, "stop", "this run costs $5.00, the max_cost"),
        (Limits(cost_usd=5, usd_per_hour=0.5), USED_AT_LAST, 35_000, "keep", "kept awake"),
        (Limits(cost_usd=5), USED_AT_LAST, 1e9, "keep", "kept awake"),
        (Limits(cost_usd=1, usd_per_hour=1, snooze_until=START + 9e9), IDLE_HOUR, 3600, "stop", "this run costs $1.00"),
        (Limits(lid_seconds=1200), USED_AT_LAST, 1200, "stop", "the laptop has not been heard of for 20m"),
        (Limits(lid_seconds=1200), IDLE_HOUR, 600, "keep", "not used for"),
        (Limits(stop_at=START + 10), USED_AT_LAST, 10, "stop", "the planned stop is due"),
        (Limits(stop_at=START + 100), USED_AT_LAST, 10, "warn", "the planned stop is due"),
        (Limits(stop_at=START + 9000, snooze_until=START + 9e9), USED_AT_LAST, 9000, "stop", "the planned stop"),
    ],
)
def test_the_verdict_and_its_reason(limits: Limits, seen: list[Sample], after: float, action: str, reason: str) -> None:
    verdict = decide(limits, FACTS, seen, START + after)
    assert verdict.action == action
    assert verdict.reason.startswith(reason)


def test_the_first_limit_to_come_is_the_one_named() -> None:
    limits = Limits(idle_seconds=3600, runtime_seconds=7200, cost_usd=1, usd_per_hour=10)
    verdict = decide(limits, FACTS, IDLE_HOUR, START + 300)
    assert verdict.due == START + 360
    assert "max_cost" in verdict.reason


def test_a_gap_in_the_samples_starts_idleness_anew() -> None:
    frozen = [*samples((), (), ()), *samples((), (), (), begin=START + 5000)]
    assert idle_since(frozen, 15.0) == START + 5000


def test_a_clock_that_is_set_back_starts_idleness_anew() -> None:
    assert idle_since([*samples((), (), (), begin=START + 5000), *samples((), (), ())], 15.0) == START


def test_one_busy_look_among_many_counts() -> None:
    seen = samples(*[()] * 100, TRAIN, *[()] * 5)
    assert idle_since(seen, 15.0) == START + 100 * 15


def test_looks_are_as_often_as_the_shortest_limit_needs() -> None:
    assert Limits(idle_seconds=1800).interval_seconds == 15
    assert Limits(idle_seconds=100).interval_seconds == 5
    assert Limits(idle_seconds=5).interval_seconds == 1
    assert Limits(max(1, 2)).any
    assert not Limits(usd_per_hour=3, snooze_until=1).any


def test_limits_survive_the_wire() -> None:
    limits = Limits(idle_seconds=60, stop_at=5)
    assert Limits.from_wire(limits._asdict()) == limits
    with pytest.raises((TypeError, ValueError)):
        Limits.from_wire({"idle_seconds": "soon"})
    with pytest.raises(TypeError):
        Limits.from_wire({"nonsense": 1})


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0s"), (45, "45s"), (90, "1m 30s"), (7500, "2h 5m"), (90_061, "1d 1h"), (-3, "0s")]
)
def test_durations_are_spoken_in_two_units(seconds: float, words: str) -> None:
    assert spoken(seconds) == words
