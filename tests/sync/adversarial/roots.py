"""Cases 28 to 30 and 36: a folder that is not the one it was, a listing that fails, a memory that is gone or wrong."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from devpod_rp.errors import SyncError
from devpod_rp.sync.status import SyncHalted
from tests.sync.adversarial.scene import Scene, eventually, need_root, quiet, settled, stick
from tests.sync.conftest import Pair

TREE = {f"d{number % 3}/f{number}": f"content {number}" for number in range(12)}


def a_folder_here_that_is_gone_emptied_or_unmounted_takes_nothing_from_the_pod(scene: Scene) -> None:
    for mode in ("two-way-safe", "one-way-safe", "one-way-replica"):
        for disaster in (_gone, _emptied, _a_link):
            pair = scene.pair(mode, name=f"{mode} {disaster.__name__}")
            pair.both(TREE).synced()
            before = pair.pod.files()
            disaster(pair)
            assert _halts(pair, *TREE, "d0", "d1", "d2"), disaster.__name__
            pair.disconnect()
            with pytest.raises(SyncHalted):
                pair.sync()
            assert pair.pod.files() == before


def a_disk_here_that_is_unmounted_or_changed_for_another_takes_nothing_from_the_pod(scene: Scene) -> None:
    need_root("mount a disk")
    for mode in ("two-way-safe", "one-way-safe", "one-way-replica"):
        pair = scene.pair(mode, name=mode)
        scene.tiny_disk(pair.local.root, 2)
        pair.both(TREE).sync()
        before = pair.pod.files()
        assert len(before) == len(TREE) + 3
        scene.unmount(pair.local.root)
        assert _halts(pair)
        assert pair.pod.files() == before
        # The top folder of every disk of a kind has the same number.
        scene.tiny_disk(pair.local.root, 2)
        pair.both({"another project.txt": "x", "d0/f0": "content 0"})
        assert _halts(pair)
        assert before.items() <= pair.pod.files().items(), mode
        pair.restart()
        assert _halts(pair)
        assert before.items() <= pair.pod.files().items(), mode


def a_listing_that_fails_with_the_disk_is_no_deletion(scene: Scene) -> None:
    """A FUSE file system whose process died answers ENOTCONN to everything, as NFS does with ESTALE."""
    pair = scene.pair()
    (pair.local.root / "data").mkdir()
    with contextlib.ExitStack() as stack:
        unmount = ["umount", "-l", str(pair.local.root / "data")]
        stack.callback(subprocess.run, unmount, check=False, capture_output=True)
        if stick(scene.top / "dying.img", pair.local.root / "data", stack) != "exfat":
            pytest.skip("no file system in a process of its own here")
        pair.both({"f": "1", "data/a": "a", "data/b": "b"}).synced()
        before = pair.pod.files()
        _kill_the_disk(pair.local.root / "data")
        pair.local.write("f", "2")
        pair.sync()
        pair.sync()
        assert pair.pod.files() == {**before, "f": "2"}
        assert any(path == "data" for path in pair.problems()), pair.problems()
        subprocess.run(unmount, check=True)
        pair.sync()
        assert pair.pod.files() == {**before, "f": "2"}, "nor is the empty folder that is left"
        scene.detach_loops()
        stack.pop_all()


def _kill_the_disk(at: Path) -> None:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(at) in process.cmdline() and "mount.exfat-fuse" in process.name():
                process.send_signal(signal.SIGKILL)
    eventually(lambda: not _lists(at), "the disk is dead")


def _lists(at: Path) -> bool:
    try:
        os.listdir(at)
    except OSError:
        return False
    return True


def _gone(pair: Pair) -> None:
    os.rename(pair.local.root, pair.tmp_path / "moved away")


def _emptied(pair: Pair) -> None:
    for each in pair.local.root.iterdir():
        shutil.rmtree(each)


def _a_link(pair: Pair) -> None:
    _gone(pair)
    (pair.tmp_path / "elsewhere").mkdir()
    os.symlink(pair.tmp_path / "elsewhere", pair.local.root)


def _halts(pair: Pair, *heard: str) -> bool:
    try:
        pair.sync(*heard)
        pair.sync()
    except SyncHalted:
        return True
    return False


# What we remember.


def a_lost_memory_deletes_nothing_on_either_side(scene: Scene) -> None:
    pair = scene.pair()
    pair.both(TREE).synced()
    _forget(pair, lambda: shutil.rmtree(pair.tmp_path / "state"))
    pair.local.delete("d0/f0")
    pair.pod.delete("d1/f1")
    pair.local.write("d2/f2", "edited here")
    pair.sync()
    assert {path for path, text in pair.local.files().items() if text != "/"} == set(TREE)
    assert pair.conflicts() == ["d2/f2"]
    assert (pair.local.read("d2/f2"), pair.pod.read("d2/f2")) == ("edited here", "content 2")


def an_old_memory_deletes_nothing_that_came_since(scene: Scene) -> None:
    pair = scene.pair()
    pair.both(TREE).synced()
    pair.session.close()
    pair.disconnect()
    shutil.copytree(pair.tmp_path / "state", pair.tmp_path / "backup")
    pair.session = pair.new_session()
    pair.both({"since": "made since", "d0/f0": "edited since"}).synced()
    pair.pod.write("since on the pod", "made since")
    settled(pair)

    def restore() -> None:
        shutil.rmtree(pair.tmp_path / "state")
        shutil.copytree(pair.tmp_path / "backup", pair.tmp_path / "state")

    _forget(pair, restore)
    pair.pod.write("d1/f1", "edited with an old memory")
    pair.sync()
    wanted = {**TREE, "since": "made since", "since on the pod": "made since", "d0/f0": "edited since",
              "d1/f1": "edited with an old memory"}  # fmt: skip
    assert {path: text for path, text in pair.local.files().items() if text != "/"} == wanted
    settled(pair)


def the_memory_of_another_project_is_noticed_before_anything_is_done(scene: Scene) -> None:
    pair, other = scene.pair(name="one"), scene.pair(name="other")
    pair.both(TREE).synced()
    other.both({f"theirs{number}": "x" for number in range(12)}).synced()
    before, there = pair.local.files(), pair.pod.files()
    other.session.close()
    other.disconnect()

    def swap() -> None:
        shutil.rmtree(pair.tmp_path / "state")
        shutil.copytree(other.tmp_path / "state", pair.tmp_path / "state")

    _forget(pair, swap)
    with pytest.raises(SyncHalted):
        pair.sync()
    pair.session.accept()
    with contextlib.suppress(SyncHalted):
        pair.sync()
    pair.session.accept()
    with contextlib.suppress(SyncHalted):
        pair.sync()
    assert (pair.local.files(), pair.pod.files()) == (before, there)


def a_memory_full_of_rubbish_is_set_aside_and_nothing_is_deleted(scene: Scene) -> None:
    pair = scene.pair()
    pair.both(TREE).synced()
    _forget(pair, lambda: (pair.tmp_path / "state/sync.sqlite3").write_bytes(b"rubbish" * 4096))
    pair.local.delete("d0/f0")
    pair.sync()
    quiet(pair)
    assert {path for path, text in pair.local.files().items() if text != "/"} == set(TREE)


def _forget(pair: Pair, deed: object) -> None:
    pair.session.release()  # the machine stays the same; without its memory it would be another one to the pod
    pair.disconnect()
    with contextlib.suppress(SyncError):
        pair.session.close()
    for each in (pair.tmp_path / "state").glob("sync.sqlite3-*"):
        each.unlink()
    deed()  # type: ignore[operator]
    pair.session = pair.new_session()
