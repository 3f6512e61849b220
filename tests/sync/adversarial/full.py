"""Cases 31 and 32: no room at any step, on either side; disks and files that may not be written."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from devpod_rp.errors import DevpodError, SyncError
from devpod_rp.sync.status import VolumeFullError
from tests.sync.adversarial.scene import Scene, need_root, settled

TREE = {"config": "old", "notes.md": "old notes", "src/a.py": "a"}


def a_full_volume_keeps_what_was_there_and_takes_the_rest_when_there_is_room(scene: Scene) -> None:
    for mode in ("two-way-safe", "one-way-safe", "one-way-replica"):
        pair = scene.pair(mode, name=mode)
        scene.tiny_disk(pair.volume, 2)
        pair.both(TREE).synced()
        _fill(pair.volume)
        pair.local.write("config", "new" * 20_000)
        pair.local.write("large.bin", os.urandom(1_500_000))
        with pytest.raises(VolumeFullError, match="full"):
            pair.sync()
        assert pair.pod.files() == TREE | {"src": "/"}
        assert pair.litter() == []
        # A reconnection to a volume that is still full says the same, and deletes nothing.
        pair.restart()
        with pytest.raises(VolumeFullError):
            pair.sync()
        assert {"config", "large.bin"} <= pair.problems().keys()
        (pair.volume / "ballast").unlink()
        settled(pair)
        assert pair.problems() == {}


def a_full_disk_here_is_said_and_nothing_is_taken_for_done(scene: Scene) -> None:
    pair = scene.pair()
    scene.tiny_disk(pair.local.root, 2)
    pair.both(TREE).sync()
    _fill(pair.local.root)
    pair.pod.write("config", "new" * 20_000)
    pair.pod.write("large.bin", os.urandom(1_500_000))
    pair.sync()
    assert {"config", "large.bin"} <= pair.problems().keys(), pair.problems()
    assert any("space" in reason for reason in pair.problems().values())
    assert pair.local.read("config") == "old"
    (pair.local.root / "ballast").unlink()
    (pair.pod.root / "ballast").unlink(missing_ok=True)
    pair.sync()
    assert pair.local.read("config") == "new" * 20_000
    assert (pair.local.root / "large.bin").stat().st_size == 1_500_000


def no_room_for_our_own_memory_is_one_clear_error_and_loses_nothing(scene: Scene) -> None:
    pair = scene.pair()
    state = pair.tmp_path / "state"
    pair.session.close()
    shutil.rmtree(state)
    state.mkdir()
    scene.tiny_disk(state, 1)
    pair.session = pair.new_session()
    pair.both(TREE)
    pair.sync()
    _fill(state)
    for number in range(400):
        pair.local.write(f"new/{'n' * 100}{number}", str(number))
    pair.local.write("config", "edited here")
    pair.pod.write("notes.md", "edited there")
    with pytest.raises(SyncError, match="cannot remember what it does"):
        pair.sync()
    (state / "ballast").unlink()
    pair.restart()
    settled(pair, but=(".devpod_rp",))
    assert pair.pod.read("config") == "edited here"
    assert pair.local.read("notes.md") == "edited there"
    assert pair.conflicts() == []


def what_may_not_be_written_is_named_and_the_rest_arrives(scene: Scene) -> None:
    need_root("make a file immutable")
    pair = scene.pair()
    scene.image(pair.volume)
    pair.both({**TREE, "fixed": "1", "also": "1"}).synced()
    if subprocess.run(["chattr", "+i", str(pair.pod.root / "fixed")], check=False, capture_output=True).returncode:
        pytest.skip("this file system has no immutable files")
    try:
        for path in ("config", "fixed", "also"):
            pair.local.write(path, "edited")
        pair.local.write("new", "new")
        pair.sync()
        assert set(pair.problems()) == {"fixed"}
        assert pair.pod.files().items() >= {"config": "edited", "also": "edited", "new": "new", "fixed": "1"}.items()
        pair.local.delete("fixed")
        pair.sync()
        assert pair.pod.read("fixed") == "1"
        assert "fixed" in pair.problems()
    finally:
        subprocess.run(["chattr", "-i", str(pair.pod.root / "fixed")], check=True)
    settled(pair)
    assert "fixed" not in pair.pod.files()


def a_volume_that_turns_read_only_is_named_and_goes_on_when_it_may_be_written(scene: Scene) -> None:
    pair = scene.pair()
    scene.image(pair.volume)
    pair.both(TREE).synced()
    subprocess.run(["mount", "-o", "remount,ro", str(pair.volume)], check=True)
    pair.local.write("config", "edited")
    with pytest.raises(DevpodError, match="Read-only file system"):
        pair.sync()
    pair.disconnect()
    with pytest.raises(DevpodError, match="Read-only file system"):
        pair.sync()
    assert pair.pod.read("config") == "old"
    subprocess.run(["mount", "-o", "remount,rw", str(pair.volume)], check=True)
    settled(pair)
    assert pair.pod.read("config") == "edited"


def _fill(folder: os.PathLike[str]) -> None:
    with open(os.path.join(folder, "ballast"), "wb", buffering=0) as ballast:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while ballast.write(b"x" * size):
                    pass
            except OSError:
                continue
