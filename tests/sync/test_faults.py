"""Cut, kill or fill the disk at any moment: nothing is lost, both sides converge, no litter stays."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devpod_rp.errors import UnreachableError
from devpod_rp.pod.link import LinkLost
from devpod_rp.progress import Event
from devpod_rp.sync.status import VolumeFullError
from tests.sync.conftest import Pair

Wait = Callable[[Callable[[], bool]], None]


def storm(pair: Pair, round: int, files: int = 400) -> None:
    chance = random.Random(round)
    for number in range(files):
        pair.local.write(f"d{number % 20}/f{number}", f"{round} {number} " * chance.randint(1, 2000))
    pair.local.write("large.bin", chance.randbytes(3 << 20))


def test_a_connection_cut_at_random_points_of_a_storm_converges(pair: Pair) -> None:
    for round in range(6):
        storm(pair, round)
        pair.connect()
        process = pair.machine.pipe.process  # type: ignore[union-attr]
        killer = threading.Timer(random.Random(round).uniform(0.005, 0.2), process.kill)
        killer.start()
        try:
            pair.sync()
        except UnreachableError:
            assert pair.session.status().state == "disconnected"
        finally:
            killer.cancel()
            killer.join()
    pair.connect()
    pair.sync()
    assert pair.pod.files() == pair.local.files()
    assert pair.conflicts() == []
    assert pair.litter() == []
    assert pair.sync().uploaded_files == 0


def test_a_dead_link_is_said_and_another_one_goes_on(pair: Pair) -> None:
    pair.both({"f": "1"}).synced()
    pair.machine.pipe.process.kill()  # type: ignore[union-attr]
    pair.local.write("f", "2")
    with pytest.raises(LinkLost):
        pair.session.synchronise(frozenset(["f"]))
    assert pair.session.status().pending == 1
    pair.connect()
    pair.sync()
    assert pair.pod.read("f") == "2"
    assert pair.session.status().pending == 0


CHILD = """
    import sys
    from pathlib import Path
    sys.path.insert(0, {checkout!r})
    from tests.sync.conftest import Machine
    from devpod_rp.pod.link import AgentLink
    from devpod_rp.sync.session import Session
    session = Session(local_root=Path({local!r}), remote_root={remote!r}, state_dir=Path({state!r}))
    session.attach(AgentLink.open(Machine()))
    print("go", flush=True)
    session.synchronise()
    print("done", flush=True)
"""


@pytest.mark.slow
def test_a_client_killed_at_any_moment_leaves_nothing_behind_that_hurts(pair: Pair, eventually: Wait) -> None:
    fields = {
        "checkout": str(Path(__file__).parents[2]),
        "local": str(pair.local.root),
        "remote": str(pair.pod.root),
        "state": str(pair.tmp_path / "state"),
    }
    pair.session.close()
    for round in range(6):
        storm(pair, round)
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CHILD.format(**fields))], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"go\n"
        time.sleep(random.Random(round).uniform(0.0, 0.3))  # the moment of death is what varies here
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    pair.session = pair.new_session()
    pair.connect()
    pair.sync()
    assert pair.pod.files() == pair.local.files()
    assert pair.conflicts() == []
    assert pair.litter() == []


def test_a_kill_right_after_a_large_upload_leaves_no_conflict(pair: Pair) -> None:
    """What many agreed on is written down when there is time; until then the journal says that it is on its way."""
    pair.both({f"folder{number % 7}/file{number}.txt": f"one {number}\n" for number in range(700)})
    pair.sync()
    kept = pair.tmp_path / "killed"
    shutil.copytree(pair.tmp_path / "state", kept)  # as a kill would leave it, with nothing of what a rest writes
    pair.disconnect()
    pair.session.close()
    shutil.rmtree(pair.tmp_path / "state")
    kept.rename(pair.tmp_path / "state")
    pair.local.write("folder1/file1.txt", "edited here\n")
    pair.session = pair.new_session()

    result = pair.sync()
    assert (result.conflicts, result.uploaded_files) == ((), 1)
    assert pair.pod.files() == pair.local.files()
    pair.restart()
    assert pair.sync().uploaded_files == 0


def test_edits_on_both_sides_while_disconnected_lose_nothing(pair: Pair) -> None:
    pair.both({"a": "1", "b": "1", "c": "1"}).synced()
    pair.restart()
    pair.local.write("a", "here")
    pair.pod.write("b", "there")
    pair.local.write("c", "here")
    pair.pod.write("c", "there")
    pair.sync()
    assert (pair.pod.read("a"), pair.pod.read("b"), pair.pod.read("c")) == ("here", "there", "there")
    assert (pair.local.read("b"), pair.local.read("c")) == ("1", "here")
    assert pair.conflicts() == ["c"]


def test_a_file_that_is_written_while_it_is_sent_never_arrives_torn(pair: Pair) -> None:
    done = threading.Event()
    size = 2 << 20

    def write() -> None:
        number = 0
        while not done.is_set():
            number = (number + 1) % 250
            with (pair.local.root / "growing.bin").open("r+b") as stream:
                stream.write(bytes([number]) * size)

    pair.local.write("growing.bin", b"\0" * size)
    pair.sync()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(10):
            pair.sync("growing.bin")
            assert len(set((pair.pod.root / "growing.bin").read_bytes())) <= 2, "at most one write was under way"
    finally:
        done.set()
        writer.join()
    pair.sync()
    assert (pair.pod.root / "growing.bin").read_bytes() == (pair.local.root / "growing.bin").read_bytes()
    assert pair.litter() == []


def test_a_visible_file_is_always_old_or_new_in_full(pair: Pair) -> None:
    pair.local.write("f", "0" * 300_000)
    pair.sync()
    seen: set[str] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            text = pair.pod.read("f")
            seen.add(text[:1] if len(text) == 300_000 and len(set(text)) == 1 else "torn")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in "123456789":
            pair.local.write("f", number * 300_000)
            pair.sync("f")
    finally:
        done.set()
        reader.join()
    assert "torn" not in seen
    assert pair.pod.read("f") == "9" * 300_000


def test_progress_tells_bytes_and_files(pair: Pair) -> None:
    events: list[Event] = []
    pair.session.close()
    pair.session = pair.new_session(progress=events.append)
    for number in range(700):
        pair.local.write(f"f{number}", "x" * 100)
    pair.local.write("large", os.urandom(3 << 20))
    pair.sync()
    uploads = [event for event in events if event.stage == "upload"]
    assert uploads[-1].done == uploads[-1].total == 700 * 100 + (3 << 20)
    assert uploads[-1].message == "701 of 701 files"
    assert all(event.unit == "bytes" for event in uploads)


@pytest.fixture
def small_pair(tmp_path: Path) -> Iterator[Pair]:
    """The pod's volume has 4 MiB."""
    pair = Pair(tmp_path)
    if os.geteuid() != 0 or os.system(f"mount -t tmpfs -o size=4m tmpfs '{pair.volume}' 2>/dev/null") != 0:
        pytest.skip("mounting a small tmpfs is not possible here")
    yield pair
    pair.close()
    os.system(f"umount '{pair.volume}'")


def test_a_full_volume_keeps_what_was_there_says_so_and_goes_on_when_there_is_room(small_pair: Pair) -> None:
    pair = small_pair
    pair.both({"config": "old"}).synced()
    pair.pod.write("ballast", os.urandom(2 << 20))
    pair.local.write("large.bin", os.urandom(3 << 20))
    pair.local.write("medium.bin", os.urandom(900_000))
    with pytest.raises(VolumeFullError, match=r"1 files \(3\.1 MB\).*; [12]\.\d MB are missing") as full:
        pair.sync()
    assert full.value.exit_code == 8
    assert pair.pod.read("config") == "old"
    assert (pair.pod.root / "medium.bin").stat().st_size == 900_000, "what fits arrives"
    assert "large.bin" in pair.problems()
    assert pair.session.status().pending == 1
    assert pair.litter() == []
    pair.pod.delete("ballast")
    pair.sync()
    assert pair.pod.files() == pair.local.files()
    assert pair.problems() == {}


def test_a_volume_that_answers_for_its_cluster_is_measured_by_what_is_on_it(small_pair: Pair) -> None:
    pair = small_pair
    pair.session.close()
    pair.session = pair.new_session(volume_bytes=1 << 20)  # of a "cluster" of 4 MiB
    pair.pod.root.mkdir()
    pair.pod.write("theirs", os.urandom(900_000))
    pair.local.write("large.bin", os.urandom(4 << 20))
    with pytest.raises(VolumeFullError, match=r"4\.1 MB are missing"):
        pair.sync()
