"""What a keeper promises, with a real session, watcher, socket and agent."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import threading
from typing import Any

import pytest

from devpod_rp import control, environments
from devpod_rp.errors import ExitCode
from devpod_rp.keeper.state import Timing
from devpod_rp.sync.session import Session
from tests.keeper.rig import QUICK, FakeClock, Rig, eventually
from tests.sync.busy_disk import BusyDisk

# In sync.


def test_what_is_there_and_what_is_saved_later_reaches_the_pod(rig: Rig) -> None:
    rig.write("there.py", "1")
    rig.start()
    rig.until(state="watching", local_files=1)
    assert rig.pod.files() == {"there.py": "1"}
    rig.write("sub/later.py", "2")
    eventually(lambda: rig.pod.files() == {"there.py": "1", "sub/later.py": "2"})


def test_status_says_all_a_user_wants_to_know(rig: Rig) -> None:
    rig.write("a", "1")
    rig.start()
    status = rig.until(state="watching", local_files=1)
    assert status["connected"] is True
    assert status["reason"] is None
    assert status["pid"] == os.getpid()
    assert status["remote_files"] == 1
    assert (status["conflicts"], status["problems"], status["pending"]) == ([], [], 0)
    assert status["since"]
    assert status["last_synced_at"]


def test_a_flush_returns_when_everything_written_before_it_is_on_the_pod(rig: Rig) -> None:
    rig.start()
    rig.until(state="watching")
    for number in range(100):
        rig.write(f"many/{number}", str(number))
    flushed = rig.ask("flush")
    assert len(rig.pod.files()) == 100
    assert flushed["local_files"] == flushed["remote_files"] == 100
    assert flushed["flushed"]["deferred"] == []


@pytest.mark.parametrize("mode", ["one-way-safe", "two-way-safe"])
def test_a_flush_between_two_listened_to_folders_looks_only_at_what_was_heard_of_and_misses_nothing(
    rig: Rig, mode: str
) -> None:
    rig.mode = mode
    for number in range(20):
        rig.write(f"src/{number}", "1")
    rig.start()
    eventually(lambda: rig.ask("flush")["flushed"]["looked_at_everything"] is False)
    rig.write("src/3", "edited here")
    rig.write("new/deep/file", "made here")
    (rig.folder / "src/4").unlink()
    (rig.pod.folder / "src/5").write_text("edited on the pod")
    rig.write("src/5", "and here")
    flushed = rig.ask("flush")
    assert flushed["flushed"]["looked_at_everything"] is False
    there = rig.pod.files()
    assert (there["src/3"], there["new/deep/file"]) == ("edited here", "made here")
    assert "src/4" not in there
    assert [conflict["path"] for conflict in flushed["conflicts"]] == ["src/5"]
    assert (there["src/5"], (rig.folder / "src/5").read_text()) == ("edited on the pod", "and here")


def test_a_flush_knows_what_was_written_under_another_name_of_the_file(rig: Rig) -> None:
    rig.write("a", "1")
    (rig.folder / "sub").mkdir()
    os.link(rig.folder / "a", rig.folder / "sub/b")
    rig.start()
    rig.until(state="watching", local_files=2)
    rig.ask("flush")
    rig.write("a", "22")
    assert rig.ask("flush")["flushed"]["looked_at_everything"]
    assert rig.pod.files() == {"a": "22", "sub/b": "22"}
    rig.write("sub/c", "3")
    assert not rig.ask("flush")["flushed"]["looked_at_everything"]


def test_a_flush_knows_what_only_the_pod_changed_although_nothing_comes_here(rig: Rig) -> None:
    rig.write("a", "1")
    rig.start()
    eventually(lambda: rig.ask("flush")["flushed"]["looked_at_everything"] is False)
    (rig.pod.folder / "out").mkdir()
    (rig.pod.folder / "out/model.pt").write_text("trained")
    flushed = rig.ask("flush")
    assert flushed["flushed"]["looked_at_everything"] is False
    assert flushed["pod_only"] == 2
    assert not (rig.folder / "out").exists()


@pytest.mark.parametrize("mode", ["one-way-safe", "two-way-safe"])
def test_the_pods_folder_is_listened_to_again_after_it_was_made_anew(rig: Rig, mode: str) -> None:
    rig.mode = mode
    for number in range(3):
        rig.write(f"src/{number}", "1")
    rig.start()
    for _ in range(2):
        eventually(lambda: rig.ask("flush")["flushed"]["looked_at_everything"] is False)
        shutil.rmtree(rig.pod.folder)
        with pytest.raises(control.KeeperRefused, match="Nothing was deleted"):
            rig.ask("flush")
        rig.ask("resume")
        rig.ask("flush")
        assert rig.pod.files() == {f"src/{number}": "1" for number in range(3)}


def test_a_flush_before_a_stop_looks_at_everything(rig: Rig) -> None:
    rig.start()
    eventually(lambda: rig.ask("flush")["flushed"]["looked_at_everything"] is False)
    assert rig.ask("flush", everything=True)["flushed"]["looked_at_everything"] is True


def test_a_flush_looks_at_everything_where_the_folder_here_is_not_watched(rig: Rig) -> None:
    def unwatchable(*_: Any) -> None:
        raise OSError(28, "no space left: inotify watch limit reached")

    rig.watch = unwatchable
    rig.start()
    rig.ask("flush")
    rig.write("a", "1")
    assert rig.ask("flush")["flushed"]["looked_at_everything"] is True
    assert rig.pod.files() == {"a": "1"}


def test_a_flush_right_at_the_start_waits_for_the_connection(rig: Rig) -> None:
    rig.write("a", "1")
    rig.start()
    assert rig.ask("flush")["state"] == "watching"
    assert rig.pod.files() == {"a": "1"}


def test_an_edit_does_not_wait_until_the_pods_disk_has_what_came_before(rig: Rig) -> None:
    rig.pod.link = BusyDisk
    rig.write("a", "1")
    rig.start()
    rig.until(state="watching", local_files=1)
    for number in range(3):
        rig.write("b", str(number))
        eventually(lambda: rig.pod.files().get("b") == str(number))  # noqa: B023 - called in its turn
    assert rig.ask("flush")["remote_files"] == 2
    assert len(rig.pod.connections) == 1, "whoever waits for such a disk loses the connection"


def test_deleting_most_of_the_folder_is_no_accident_when_it_was_heard_of(rig: Rig) -> None:
    for number in range(200):
        rig.write(f"old/{number}", "x")
    rig.write("keep", "1")
    rig.start()
    rig.ask("flush")
    shutil.rmtree(rig.folder / "old")
    assert rig.ask("flush")["state"] == "watching"
    assert rig.pod.files() == {"keep": "1"}


def test_a_conflict_is_told_and_neither_version_is_lost(rig: Rig) -> None:
    rig.write("both", "1")
    rig.start()
    rig.ask("flush")
    (rig.pod.folder / "both").write_text("pod")
    rig.write("both", "here")
    status = rig.ask("flush")
    assert [conflict["path"] for conflict in status["conflicts"]] == ["both"]
    assert (rig.pod.files()["both"], (rig.folder / "both").read_text()) == ("pod", "here")


def test_a_folder_that_cannot_be_watched_is_looked_at_instead_and_status_says_so(rig: Rig) -> None:
    def unwatchable(*_: Any) -> None:
        raise OSError(28, "no space left: inotify watch limit reached")

    rig.watch = unwatchable
    rig.start(timing=dataclasses.replace(QUICK, full_seconds=0.2))
    status = rig.until(state="watching")
    assert "watch limit" in status["reason"]
    rig.write("a", "1")
    eventually(lambda: rig.pod.files() == {"a": "1"})


# Both ways.


def test_what_is_saved_on_the_pod_comes_here_without_waiting_for_the_next_look(rig: Rig) -> None:
    rig.mode = "two-way-safe"
    rig.write("src/a.py", "1")
    rig.start()
    rig.until(state="watching", local_files=1)
    (rig.pod.folder / "src/a.py").write_text("edited on the pod")
    eventually(lambda: (rig.folder / "src/a.py").read_text() == "edited on the pod")
    (rig.pod.folder / "new/deep").mkdir(parents=True)
    (rig.pod.folder / "new/deep/b.py").write_text("made on the pod")
    eventually(lambda: (rig.folder / "new/deep/b.py").is_file())
    (rig.pod.folder / "new/deep/b.py").rename(rig.pod.folder / "src/c.py")
    eventually(lambda: (rig.folder / "src/c.py").is_file() and not (rig.folder / "new/deep/b.py").exists())


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_deleted_on_the_pod_goes_here_also_where_we_deleted_before(rig: Rig, what: str) -> None:
    rig.mode = "two-way-safe"
    for number in range(8):
        rig.write(f"other/{number}", "1")
    rig.write("d/f", "1")
    rig.start()
    rig.until(state="watching", local_files=9)
    rig.ask("flush")
    gone = "d/f" if what == "file" else "d"
    for _ in range(2):
        (rig.folder / "d/f").unlink()
        if what == "folder":
            (rig.folder / "d").rmdir()
        rig.ask("flush")
        assert not (rig.pod.folder / gone).exists()
        (rig.pod.folder / "d").mkdir(exist_ok=True)
        (rig.pod.folder / "d/f").write_text("made on the pod")
        rig.ask("flush")
        assert (rig.folder / "d/f").read_text() == "made on the pod"
        shutil.move(rig.pod.folder / gone, rig.pod.folder.parent / "away")
        rig.ask("flush")
        assert not (rig.folder / gone).exists()
        shutil.move(rig.pod.folder.parent / "away", rig.pod.folder / gone)
        rig.ask("flush")
        assert (rig.folder / "d/f").exists()


def test_an_edit_does_not_come_back_as_news(rig: Rig) -> None:
    rig.mode = "two-way-safe"
    cycles: list[frozenset[str]] = []

    class Counting(Session):
        def synchronise(self, paths: frozenset[str] | None = None, remote_paths: frozenset[str] = frozenset()) -> Any:
            cycles.append(remote_paths)
            return super().synchronise(paths, remote_paths)

    real = rig.open_session
    rig.open_session = lambda environment: _remade(Counting, real(environment))
    rig.write("a.py", "0")
    rig.start()
    rig.until(state="watching", local_files=1)
    for number in range(5):
        rig.write("a.py", f"here {number}")
        eventually(lambda text=f"here {number}": rig.pod.files()["a.py"] == text)  # type: ignore[misc]
    rig.ask("flush")
    assert not any(cycles)


# Paused.


def test_nothing_moves_while_paused_also_after_a_restart_and_resume_catches_up(rig: Rig) -> None:
    rig.start()
    rig.until(state="watching")
    assert rig.ask("pause")["state"] == "paused"
    rig.stop()
    rig.write("a", "1")
    rig.start()
    status = rig.until(state="paused", connected=True)
    assert status["pending"] == 0
    with pytest.raises(control.KeeperRefused, match="paused") as caught:
        rig.ask("flush")
    assert caught.value.exit_code is ExitCode.SYNC
    assert rig.pod.files() == {}
    rig.ask("resume")
    eventually(lambda: rig.pod.files() == {"a": "1"})
    rig.stop()
    rig.start()
    rig.until(state="watching")


def test_a_pause_does_not_wait_for_the_cycle_under_way(rig: Rig) -> None:
    rig.start(timing=dataclasses.replace(QUICK, dead_seconds=60.0))
    rig.ask("flush")
    rig.pod.signal(signal.SIGSTOP)
    rig.write("a", "1")
    rig.until(state="syncing")
    assert rig.ask("pause")["state"] == "paused"
    assert rig.pod.files() == {}
    rig.until(connected=True)


# Out of touch.


def test_status_is_answered_at_once_while_a_cycle_hangs(rig: Rig) -> None:
    rig.start(timing=dataclasses.replace(QUICK, dead_seconds=30.0))
    rig.ask("flush")
    rig.pod.signal(signal.SIGSTOP)
    rig.write("a", "1")
    rig.until(state="syncing")
    assert rig.ask("status", timeout=1.0)["pending"] >= 0
    rig.pod.signal(signal.SIGCONT)
    rig.until(state="watching", remote_files=1)


def test_a_killed_agent_is_replaced_and_the_work_goes_on(rig: Rig) -> None:
    rig.start()
    rig.until(state="watching")
    rig.pod.signal(signal.SIGKILL)
    rig.write("a", "1")
    eventually(lambda: rig.pod.files() == {"a": "1"})
    assert len(rig.pod.connections) == 2
    assert rig.cloud.asked == 1, "the address is looked up before connecting again"


def test_a_connection_that_is_only_half_open_is_noticed_and_replaced(rig: Rig) -> None:
    rig.start()
    rig.ask("flush")
    rig.pod.signal(signal.SIGSTOP)
    eventually(lambda: len(rig.pod.connections) == 2)
    rig.write("a", "1")
    eventually(lambda: rig.pod.files() == {"a": "1"})


def test_a_flush_survives_the_loss_of_the_connection(rig: Rig) -> None:
    rig.start()
    rig.until(state="watching")
    rig.write("a", "1")
    rig.pod.signal(signal.SIGKILL)
    assert rig.ask("flush")["connected"] is True
    assert rig.pod.files() == {"a": "1"}


def test_a_flush_fails_when_the_pod_cannot_be_reached_and_says_why(rig: Rig) -> None:
    rig.pod.reachable = False
    rig.start()
    with pytest.raises(control.KeeperRefused, match=r"nobody answers at 203\.0\.113\.7:10022") as caught:
        rig.ask("flush")
    assert caught.value.exit_code is ExitCode.UNREACHABLE


def test_attempts_to_connect_become_rarer(rig: Rig) -> None:
    rig.pod.reachable = False
    clock = FakeClock()
    rig.start(clock, Timing())
    for attempt, seconds in enumerate((1, 2, 4, 8, 16, 30, 30), 1):
        rig.until(attempts=attempt, reason="nobody answers at 203.0.113.7:10022")
        clock.pass_(seconds - 0.1)
        clock.go_round()
        assert rig.pod.attempts == attempt
        clock.pass_(0.1)


def test_a_pod_that_was_stopped_is_left_alone_until_somebody_starts_it(rig: Rig) -> None:
    rig.start()
    rig.until(state="watching")
    rig.cloud.status = "EXITED"
    rig.pod.signal(signal.SIGKILL)
    status = rig.until(state="disconnected", reason="the pod is EXITED")
    assert status["connected"] is False
    asked = rig.cloud.asked
    eventually(lambda: rig.cloud.asked >= asked + 3)
    assert len(rig.pod.connections) == 1
    rig.write("a", "1")
    rig.cloud.status = "RUNNING"
    eventually(lambda: rig.pod.files() == {"a": "1"})


def test_an_outbid_spot_pod_is_brought_back_when_there_is_one_and_said_once(rig: Rig) -> None:
    environments.save(dataclasses.replace(rig.record, bid_per_gpu=0.5))
    rig.start()
    rig.until(state="watching")
    rig.cloud.status, rig.cloud.scarce = "EXITED", True
    rig.pod.signal(signal.SIGKILL)
    rig.until(reason="the pod was outbid; waiting")
    eventually(lambda: rig.cloud.revived >= 3)
    assert rig.notices == [("demo was outbid", "the pod was outbid; waiting")]
    rig.cloud.scarce = False
    rig.write("a", "1")
    eventually(lambda: rig.pod.files() == {"a": "1"})
    assert [title for title, _ in rig.notices] == ["demo was outbid", "demo is back"]


def test_a_flush_finds_a_pod_that_was_started_a_moment_ago(rig: Rig) -> None:
    rig.cloud.status = "EXITED"
    environments.save(dataclasses.replace(rig.record, status="EXITED"))
    rig.start(timing=dataclasses.replace(QUICK, poll_seconds=60.0))
    rig.until(reason="the pod is EXITED")
    rig.cloud.status = "RUNNING"
    assert rig.ask("flush")["connected"] is True


def test_when_the_cloud_does_not_answer_the_old_address_is_tried(rig: Rig) -> None:
    rig.start()
    rig.until(state="watching")
    rig.cloud.reachable = False
    rig.pod.signal(signal.SIGKILL)
    eventually(lambda: len(rig.pod.connections) == 2)
    rig.until(state="watching")


def test_the_record_is_left_to_a_command_that_is_changing_it(rig: Rig) -> None:
    rig.start()
    rig.until(state="watching")
    with environments.locked(rig.name):
        rig.pod.signal(signal.SIGKILL)
        eventually(lambda: len(rig.pod.connections) == 2)
        assert rig.cloud.asked == 0


def test_after_a_sleep_the_connection_is_checked_and_everything_looked_at(rig: Rig) -> None:
    clock = FakeClock()
    heard = threading.Event()

    class Deaf:
        def __init__(self, *_: Any) -> None:
            heard.set()

        problem = None

        def catch_up(self, _seconds: float) -> bool:
            return True

        def refresh(self) -> None:
            pass

        def close(self) -> None:
            pass

    rig.watch = Deaf
    rig.start(clock, Timing())
    rig.ask("flush")
    rig.write("a", "1")
    clock.sleep_machine(3600)
    eventually(lambda: rig.pod.files() == {"a": "1"})


# Accidents.


def test_an_emptied_pod_folder_halts_until_the_user_says_go_on(rig: Rig) -> None:
    rig.write("a", "1")
    rig.write("b", "2")
    rig.start()
    rig.ask("flush")
    shutil.rmtree(rig.pod.folder)
    rig.pod.folder.mkdir()
    with pytest.raises(control.KeeperRefused, match="Nothing was deleted") as caught:
        rig.ask("flush")
    assert caught.value.exit_code is ExitCode.SYNC
    status = rig.until(state="halted")
    assert status["halted"]["reason"].startswith("remote-")
    assert sorted(each.name for each in rig.folder.iterdir()) == ["a", "b"]
    rig.ask("resume")
    eventually(lambda: rig.pod.files() == {"a": "1", "b": "2"})
    rig.until(state="watching")


def test_a_halt_outlives_the_keeper(rig: Rig) -> None:
    rig.write("a", "1")
    rig.write("b", "2")
    rig.start()
    rig.ask("flush")
    rig.stop()
    shutil.rmtree(rig.pod.folder)
    rig.start()
    rig.until(state="halted")
    assert not rig.pod.folder.exists()


def test_a_local_folder_that_comes_back_is_synchronised_again_by_itself(rig: Rig) -> None:
    rig.write("a", "1")
    rig.write("b", "2")
    rig.start(timing=dataclasses.replace(QUICK, full_seconds=0.2))
    rig.ask("flush")
    rig.folder.rename(rig.folder.with_name("away"))
    rig.until(state="halted")
    assert rig.pod.files() == {"a": "1", "b": "2"}
    rig.folder.with_name("away").rename(rig.folder)
    rig.until(state="watching")
    rig.write("c", "3")
    eventually(lambda: rig.pod.files() == {"a": "1", "b": "2", "c": "3"})


def test_an_error_nobody_expected_is_logged_and_does_not_end_the_keeper(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    failing = threading.Event()

    class Fragile(Session):
        def synchronise(self, paths: frozenset[str] | None = None, remote_paths: frozenset[str] = frozenset()) -> Any:
            if failing.is_set():
                raise RuntimeError("a bug")
            return super().synchronise(paths, remote_paths)

    real = rig.open_session
    rig.open_session = lambda environment: _remade(Fragile, real(environment))
    rig.start()
    rig.until(state="watching")
    failing.set()
    rig.write("a", "1")
    eventually(lambda: "a bug" in str(rig.ask("status")["reason"]))
    assert "RuntimeError: a bug" in caplog.text
    with pytest.raises(control.KeeperRefused, match="a bug"):
        rig.ask("flush")
    failing.clear()
    eventually(lambda: rig.pod.files() == {"a": "1"})
    rig.until(state="watching", reason=None)


# Its end.


def test_a_stop_does_not_wait_for_the_cycle_under_way(rig: Rig) -> None:
    rig.start(timing=dataclasses.replace(QUICK, dead_seconds=60.0))
    rig.ask("flush")
    rig.pod.signal(signal.SIGSTOP)
    rig.write("a", "1")
    rig.until(state="syncing")
    assert rig.ask("stop") == {}
    eventually(lambda: not rig.alive)
    assert not control.keeper_running(rig.name)


def test_who_waits_when_the_keeper_ends_is_told(rig: Rig) -> None:
    rig.start(timing=dataclasses.replace(QUICK, dead_seconds=60.0))
    rig.ask("flush")
    rig.pod.signal(signal.SIGSTOP)
    failures: list[Exception] = []

    def flush() -> None:
        try:
            rig.ask("flush")
        except control.KeeperRefused as error:
            failures.append(error)

    waiting = threading.Thread(target=flush)
    waiting.start()
    eventually(lambda: rig.ask("status")["state"] in ("scanning", "syncing"))
    rig.stop()
    waiting.join(10)
    assert [str(failure) for failure in failures] == ["The keeper was told to end."]


def test_a_keeper_ends_by_itself_when_its_environment_is_gone(rig: Rig) -> None:
    rig.start()
    rig.until(state="watching")
    environments.remove(rig.name)
    eventually(lambda: not rig.alive)
    assert environments.find(rig.name) is None


def test_a_keeper_does_not_serve_another_environment_of_the_same_name(rig: Rig) -> None:
    rig.start()
    rig.until(state="watching")
    environments.save(dataclasses.replace(rig.record, id="deadbeef"))
    eventually(lambda: not rig.alive)


def test_a_keeper_knows_what_it_cannot_do(rig: Rig) -> None:
    rig.start()
    with pytest.raises(control.KeeperRefused, match="cannot 'dance'"):
        rig.ask("dance")


def _remade(kind: type[Session], session: Session) -> Session:
    session.__class__ = kind
    return session
