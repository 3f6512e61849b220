"""The limits as people write them: durations, sums of money and moments."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from devpod_rp.errors import ConfigurationError
from devpod_rp.spec import dollars, moments
from devpod_rp.spec.sources import load

NOW = datetime(2026, 11, 24, 21, 30, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("text", "amount"), [("$5", 5.0), ("5", 5.0), ("2.50", 2.5), ("$ 2.50", 2.5), ("3 USD", 3.0), ("3$", 3.0)]
)
def test_money_is_read_as_people_write_it(text: str, amount: float) -> None:
    assert dollars.amount(text) == amount


@pytest.mark.parametrize("text", ["", "$", "five", "-5", "€5", "5 EUR", "$0", "1,50"])
def test_what_is_no_money_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="money"):
        dollars.amount(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("22:00", NOW.replace(hour=22, minute=0)),
        ("22.15", NOW.replace(hour=22, minute=15)),
        ("21:30", NOW.replace(day=25)),
        ("7:05", NOW.replace(day=25, hour=7, minute=5)),
        ("2026-12-01 08:00", NOW.replace(month=12, day=1, hour=8, minute=0)),
        ("2026-12-01T07:00:00+00:00", NOW.replace(month=12, day=1, hour=8, minute=0)),
    ],
)
def test_a_time_is_the_next_one(text: str, moment: datetime) -> None:
    assert moments.next_moment(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "25:00", "22", "later", "2020-01-01 00:00"])
def test_what_is_no_time_to_come_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|over"):
        moments.next_moment(text, NOW)


@pytest.mark.parametrize(
    ("flags", "key", "value"),
    [
        ({"idle_stop": "1h30m"}, "idle_stop", "1h30m"),
        ({"idle_stop": "never"}, "idle_stop", None),
        ({"max_cost": "$7.50"}, "max_cost", 7.5),
        ({"max_cost": "never"}, "max_cost", None),
        ({"lid_stop": "20m"}, "lid_stop", "20m"),
        ({}, "max_runtime", "8h"),
        ({}, "lid_stop", None),
    ],
)
def test_a_flag_overrules_the_file(tmp_path: Path, flags: dict[str, Any], key: str, value: object) -> None:
    (tmp_path / "devpod-rp.toml").write_text('idle_stop = "30m"\nmax_runtime = "8h"\nmax_cost = 5\n')
    assert getattr(load(tmp_path, flags, environ={}).spec, key) == value


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('idle_stop = "soon"', "is no duration"),
        ("idle_stop = 30", "idle_stop"),
        ('max_cost = "much"', "is no sum of money"),
        ("max_cost = -1", "max_cost"),
        ('lid_stop = "10s"', "must be at least 1m"),
    ],
)
def test_a_limit_that_cannot_hold_is_blamed_on_its_line(tmp_path: Path, line: str, complaint: str) -> None:
    (tmp_path / "devpod-rp.toml").write_text(line + "\n")
    with pytest.raises(ConfigurationError) as refused:
        load(tmp_path, {}, environ={})
    assert "devpod-rp.toml:1" in refused.value.message
    assert complaint in refused.value.message
