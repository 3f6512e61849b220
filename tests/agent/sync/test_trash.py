"""The trash is kept for seven days and up to two gigabytes, also while one connection lasts for weeks."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from devpod_rp.agent.sync import trash


@pytest.fixture
def moments(tmp_path: Path) -> Path:
    for name in "123":
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_bytes(b"x" * 10)
    os.utime(tmp_path / "1", (1000, 1000))
    return tmp_path


def test_old_trash_goes_and_new_trash_stays(moments: Path) -> None:
    now = os.stat(moments / "3").st_mtime
    trash.prune(os.fsencode(moments), now, seconds=3600)
    assert sorted(os.listdir(moments)) == ["2", "3"]
    trash.prune(os.fsencode(moments), now, size=15)
    assert os.listdir(moments) == ["3"]


def test_what_is_put_there_is_the_occasion_to_look_but_not_every_time(moments: Path) -> None:
    trash.put(os.fsencode(moments), 10)
    trash.tidy(os.fsencode(moments))
    assert sorted(os.listdir(moments)) == ["1", "2", "3"]
    trash.put(os.fsencode(moments), 64 << 20)
    assert sorted(os.listdir(moments)) == ["1", "2", "3"]
    trash.tidy(os.fsencode(moments))
    assert sorted(os.listdir(moments)) == ["2", "3"]


def test_nothing_is_removed_while_somebody_puts_something_there_or_goes_through_it(moments: Path) -> None:
    tidying = threading.Thread(target=trash.prune, args=(os.fsencode(moments), os.stat(moments / "3").st_mtime))
    with trash.LOCK:
        tidying.start()
        tidying.join(0.2)
        assert sorted(os.listdir(moments)) == ["1", "2", "3"]
    tidying.join(10)
    assert sorted(os.listdir(moments)) == ["2", "3"]


def test_holes_count_for_nothing(moments: Path) -> None:
    with (moments / "3/hole").open("wb") as stream:
        stream.truncate(3 << 30)
    trash.prune(os.fsencode(moments), os.stat(moments / "3").st_mtime)
    assert sorted(os.listdir(moments)) == ["2", "3"]


def test_a_trash_that_nobody_has_made_yet_needs_no_look(tmp_path: Path) -> None:
    trash.prune(os.fsencode(tmp_path / "absent"), 0.0)
