"""The inotify loop tells of every change below a folder, and says so when it cannot."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devpod_rp.agent.files.inotify import COMPLETE, GONE, LOST, OPEN, Sign, TreeWatch
from devpod_rp.agent.sync.settling import Pace, Settling

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="inotify is Linux's")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "src").mkdir(parents=True)
    (root / "node_modules").mkdir()
    return root


@pytest.fixture
def tree(root: Path) -> Iterator[TreeWatch]:
    tree = TreeWatch(str(root), lambda path, _is_folder: not path.startswith("node_modules"))
    yield tree
    tree.close()


def told(tree: TreeWatch) -> set[tuple[str, str]]:
    signs: list[Sign] = []
    while more := tree.read(0.2):
        signs += more
    return {(sign.path, sign.what) for sign in signs}


def test_a_write_is_open_until_the_file_is_closed(root: Path, tree: TreeWatch) -> None:
    with (root / "src/a").open("w") as stream:
        stream.write("x")
        stream.flush()
        assert told(tree) == {("src/a", OPEN)}
    assert told(tree) == {("src/a", COMPLETE)}


def test_a_rename_over_a_file_is_complete_at_once(root: Path, tree: TreeWatch) -> None:
    (root / "src/new").write_text("x")
    told(tree)
    os.replace(root / "src/new", root / "src/a")
    assert told(tree) == {("src/new", GONE), ("src/a", COMPLETE)}


def test_what_takes_no_part_is_neither_told_nor_watched(root: Path, tree: TreeWatch) -> None:
    (root / "node_modules/x").write_text("x")
    assert told(tree) == set()
    assert tree.folders == 2


def test_folders_made_deep_at_once_are_watched(root: Path, tree: TreeWatch) -> None:
    (root / "a/b/c").mkdir(parents=True)
    told(tree)
    (root / "a/b/c/f").write_text("x")
    assert ("a/b/c/f", COMPLETE) in told(tree)


@pytest.mark.parametrize("disk", ["the disk", "memory"])
def test_folders_of_every_depth_that_were_there_before_are_watched(tmp_path: Path, disk: str) -> None:
    # What a folder holds is told by its links on some file systems (ext4, tmpfs), and is looked up on the others.
    with tempfile.TemporaryDirectory(dir=tmp_path if disk == "the disk" else "/dev/shm") as place:
        root = Path(place)
        folders = ["leaf", "one", "one/only", "many", "many/a", "many/b", "many/b/c", "many/b/c/d"]
        for folder in folders:
            (root / folder).mkdir()
            (root / folder / "file").write_text("x")
        with contextlib.closing(TreeWatch(str(root), lambda *_: True)) as tree:
            assert tree.folders == 1 + len(folders)
            for folder in folders:
                (root / folder / "file").write_text("y")
            assert {(f"{folder}/file", COMPLETE) for folder in folders} <= told(tree)
            (root / "leaf/new/newer").mkdir(parents=True)
            told(tree)
            (root / "leaf/new/newer/file").write_text("x")
            assert ("leaf/new/newer/file", COMPLETE) in told(tree)


def test_a_folder_that_moved_within_tells_its_new_name_and_one_that_left_is_silent(root: Path, tree: TreeWatch) -> None:
    os.rename(root / "src", root / "lib")
    told(tree)
    (root / "lib/f").write_text("x")
    assert ("lib/f", COMPLETE) in told(tree)
    os.rename(root / "lib", root.parent / "elsewhere")
    told(tree)
    (root.parent / "elsewhere/f").write_text("y")
    assert told(tree) == set()


def test_a_folder_that_is_gone_is_lost(root: Path, tree: TreeWatch) -> None:
    os.rename(root, root.parent / "moved")
    assert ("", LOST) in told(tree)


def test_folders_that_come_to_take_part_are_watched_when_asked(root: Path) -> None:
    kept = {"src"}
    tree = TreeWatch(str(root), lambda path, _is_folder: path.split("/")[0] in kept)
    try:
        kept.add("node_modules")
        assert tree.extend() == ["node_modules"]
        (root / "node_modules/x").write_text("x")
        assert ("node_modules/x", COMPLETE) in told(tree)
    finally:
        tree.close()


def test_a_reader_can_be_woken(tree: TreeWatch) -> None:
    threading.Timer(0.05, tree.wake).start()
    began = time.monotonic()
    assert tree.read(20) == []
    assert time.monotonic() - began < 10


def test_a_burst_is_heard_at_once_and_of_each_path_the_last(root: Path, tree: TreeWatch) -> None:
    def burst() -> None:
        for name in ("a", "b", "a"):
            (root / "src" / name).write_text("x")
            (root / "src" / name).unlink()
            time.sleep(0.01)
        (root / "src/a").write_text("stays")

    writing = threading.Thread(target=burst)
    writing.start()
    heard = tree.read(20, gather_seconds=2.0)
    writing.join()
    assert heard == [Sign("src/a", False, COMPLETE), Sign("src/b", False, GONE)]
    assert tree.read(0) == []


def test_who_gathers_can_be_woken(root: Path, tree: TreeWatch) -> None:
    (root / "src/a").write_text("x")
    threading.Timer(0.05, tree.wake).start()
    began = time.monotonic()
    assert tree.read(20, gather_seconds=20) == [Sign("src/a", False, COMPLETE)]
    assert time.monotonic() - began < 10


def test_a_reached_limit_is_told(tmp_path: Path) -> None:
    # The limits belong to a user namespace, so that this needs no setting of the machine's.
    program = textwrap.dedent("""
        import os, sys
        from devpod_rp.agent.files.inotify import TreeWatch
        root = sys.argv[1]
        for number in range(12):
            os.mkdir(f"{root}/{number}")
        with open("/proc/sys/user/max_inotify_watches", "w") as stream:
            stream.write("5")
        tree = TreeWatch(root, lambda *_: True)
        print("limit", "max_user_watches" in (tree.limit or ""), tree.folders)
    """)
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", sys.executable, "-c", program, str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode and "unshare" in done.stderr:
        pytest.skip("this system allows no user namespaces")
    assert done.stdout.split() == ["limit", "True", "5"], done.stderr


def test_when_the_kernel_drops_events_everything_is_lost(root: Path, tree: TreeWatch) -> None:
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for _ in range(queue // 4 + 1000):  # each makes at least four events, and none equals the one before it
        for name in ("src/a", "src/b"):
            os.close(os.open(root / name, os.O_WRONLY | os.O_CREAT))
        os.unlink(root / "src/a")
    assert ("", LOST) in told(tree)


# When it is worth looking.

PACE = Pace(complete=1, open=10, gone=20, longest=30, between=5)


def heard(*signs: tuple[str, str, float]) -> Settling:
    settling = Settling(PACE)
    for path, what, now in signs:
        settling.hear(Sign(path, False, what), now)
    return settling


def test_a_complete_file_is_due_at_once_and_one_being_written_later() -> None:
    settling = heard(("a", COMPLETE, 100), ("b", OPEN, 100))
    assert settling.next_due() == 101
    assert settling.take(101).paths == {"a"}
    assert settling.take(108).paths == set()
    assert settling.take(110).paths == {"b"}


def test_a_file_deleted_and_made_anew_is_never_told_as_gone() -> None:
    settling = heard(("a", GONE, 100))
    assert settling.take(119).paths == set()
    settling.hear(Sign("a", False, COMPLETE), 119)
    assert settling.take(120).paths == {"a"}


def test_a_file_that_never_rests_is_told_all_the_same() -> None:
    settling = heard(*(("log", OPEN, 100 + number) for number in range(40)))
    assert settling.next_due() == 130


def test_a_burst_comes_in_few_batches() -> None:
    settling = heard(("a", COMPLETE, 100))
    assert settling.take(101).paths == {"a"}
    settling.hear(Sign("b", False, COMPLETE), 101)
    assert settling.next_due() == 106
    assert settling.take(102).paths == set()
    assert settling.take(106).paths == {"b"}


def test_lost_events_are_told_at_once() -> None:
    settling = heard(("", LOST, 100))
    assert settling.next_due() == 0
    assert settling.take(100).full
