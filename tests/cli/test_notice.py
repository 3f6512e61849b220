"""The desktop hears of the end of long commands, for better or worse; of quick ones, and of a Ctrl-C, never."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from devpod_rp.cli import notice
from devpod_rp.errors import InterruptedByUserError, UnreachableError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the desktop's program is a script here")


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the desktop's own program was asked to show."""
    record = tmp_path / "shown"
    record.touch()
    program = tmp_path / "bin" / "notify-send"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s: %s\\n" "$3" "$4" >> {record}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return record


def hours() -> Callable[[], float]:
    """A clock on which an hour passes between two looks."""
    return itertools.count(0.0, 3600.0).__next__


def test_a_long_command_is_told(shown: Path) -> None:
    with notice.when_long("up proj", "30m", hours()):
        pass
    assert shown.read_text() == "up proj is done: It took 1h.\n"


def test_a_long_command_that_failed_is_told_with_the_reason(shown: Path) -> None:
    with pytest.raises(UnreachableError), notice.when_long("up proj", "30m", hours()):
        raise UnreachableError("The pod does not answer.")
    assert shown.read_text() == "up proj failed: The pod does not answer.\n"


def test_who_said_no_sits_there_already(shown: Path) -> None:
    with pytest.raises(InterruptedByUserError), notice.when_long("stop proj", "30m", hours()):
        raise InterruptedByUserError("Cancelled.")
    assert shown.read_text() == ""


def test_never_is_never(shown: Path) -> None:
    with notice.when_long("up proj", None, hours()):
        pass
    assert shown.read_text() == ""


def test_a_quick_command_is_not_told(shown: Path) -> None:
    with notice.when_long("up proj", "30m"):
        pass
    assert shown.read_text() == ""
