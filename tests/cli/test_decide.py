"""Who decides about files at risk: the flags in turn, and without flags and without a terminal nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from devpod_rp import environments
from devpod_rp.cli.decide import decider
from devpod_rp.environments import Environment, VolumeRecord
from devpod_rp.guard.classify import Risk
from devpod_rp.guard.report import Report
from devpod_rp.lifecycle.risk.decision import CANCEL, RESCUE, Decision, download_to

HERE = Path("/here")
OLD = Risk("/root/b", 9, "code", "x", other_names=("/root/link",), mtime_ns=5)
NEW = Risk("/root/a", 9, "code", "x", mtime_ns=7)
REPORT = Report((OLD, NEW), (), (), (), (), 2, 0.1)


@pytest.fixture
def environment(tmp_path, monkeypatch) -> Environment:
    monkeypatch.setenv("DEVPOD_RP_HOME", str(tmp_path))
    return environments.create(
        name="demo", cloud="local", api_url="http://127.0.0.1:1", folder=str(tmp_path), workspace="/workspace/demo",
        spec={}, volume=VolumeRecord("disk", None, 20, "/workspace"),
    )  # fmt: skip


def answers(
    environment: Environment, *, save: bool, folder: Path | None, where: str = "container disk"
) -> list[Decision]:
    decide = decider(environment, save=save, folder=folder, as_json=True, end="stop", where=where)
    return [decide(REPORT) for _ in range(3)]


def test_without_flags_and_terminal_nothing_is_given_up(environment) -> None:
    assert answers(environment, save=False, folder=None) == [CANCEL] * 3


def test_with_both_flags_what_the_volume_did_not_take_comes_here(environment) -> None:
    here = download_to(HERE)
    assert answers(environment, save=True, folder=HERE) == [RESCUE, here, CANCEL]


def test_what_a_flag_could_not_save_it_is_not_asked_to_save_again(environment) -> None:
    assert answers(environment, save=False, folder=HERE) == [download_to(HERE), CANCEL, CANCEL]
    decide = decider(environment, save=True, folder=None, as_json=True, end="stop")
    assert decide(REPORT) == RESCUE
    assert decide(REPORT.without({"/root/a"}, "in /here")) == RESCUE, "other files than before"


def test_nothing_is_saved_to_the_volume_that_is_about_to_die(environment) -> None:
    assert answers(environment, save=True, folder=None, where="volume") == [CANCEL] * 3


def test_the_newest_of_a_kind_is_wanted_first_with_all_its_names(environment) -> None:
    assert RESCUE.wanted(REPORT) == ["/root/a", "/root/b", "/root/link"]
    some = Decision(RESCUE.act, paths=frozenset(["/root/b", "/root/other"]))
    assert some.wanted(REPORT) == ["/root/b"]


def test_what_has_an_equal_copy_here_is_no_sole_copy_any_more_but_only_with_all_its_names() -> None:
    assert not REPORT.without({"/root/a", "/root/b"}, "in /here").safe_to_stop
    assert REPORT.without({"/root/a", "/root/b", "/root/link"}, "in /here").safe_to_stop
