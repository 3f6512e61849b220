"""Whatever becomes of the pod's folder under a live watcher, the folder here is untouched: in every mode."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devpod_rp import paths
from tests.keeper.rig import QUICK, Rig, eventually
from tests.sync.conftest import Folder

pytestmark = [pytest.mark.slow]

TREE = {f"d{number % 4}/f{number}.txt": f"content {number}" for number in range(30)} | {"README.md": "read me"}
IMAGE = {"README.md": "read me", "image.txt": "from the image", "d1/also.txt": "from the image"}


class Stage:
    """A keeper with watchers on both sides, and a pod's folder on a volume that can be mounted and taken away."""

    def __init__(self, rig: Rig, volume: Path) -> None:
        self.rig, self.volume = rig, volume
        self.pod, self.local = Folder(rig.pod.folder), Folder(rig.folder)

    def mount(self) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root can mount a disk")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(self.volume)], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", str(self.volume)], check=True)

    def put_the_image(self) -> None:
        for path, text in IMAGE.items():
            self.pod.write(path, text)


def wiped(stage: Stage) -> None:
    deleted(stage)
    stage.pod.root.mkdir(exist_ok=True)


def wiped_in_place(stage: Stage) -> None:
    """Deletes all that was there, whatever a synchronisation puts back meanwhile."""
    there = list(stage.pod.root.rglob("*"))
    for path in reversed(there):
        with contextlib.suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()


def wiped_file_by_file(stage: Stage) -> None:
    for path in TREE:
        (stage.pod.root / path).unlink(missing_ok=True)
        time.sleep(0.03)  # as slowly as a network volume does it: this is the disaster, not a wait for it


def wiped_in_place_but_for_a_few(stage: Stage) -> None:
    wiped_in_place(stage)
    stage.put_the_image()


def replaced_by_a_fresh_image(stage: Stage) -> None:
    deleted(stage)
    stage.put_the_image()


def replaced_together_with_its_volume(stage: Stage) -> None:
    deleted(stage)
    os.rename(stage.volume / ".devpod_rp", stage.volume / "going")  # while an agent still writes to it
    subprocess.run(["rm", "-rf", str(stage.volume / "going")], check=False)
    stage.put_the_image()


def deleted(stage: Stage) -> None:
    os.rename(stage.pod.root, stage.volume / "going")
    shutil.rmtree(stage.volume / "going")


def replaced_by_a_link(stage: Stage) -> None:
    os.rename(stage.pod.root, stage.volume / "elsewhere")
    (stage.volume / "empty").mkdir()
    os.symlink(stage.volume / "empty", stage.pod.root)


def unmounted(stage: Stage) -> None:
    stage.unmount()


def unmounted_and_a_fresh_volume_mounted(stage: Stage) -> None:
    before = os.stat(stage.pod.root).st_ino
    for _ in range(20):  # the agent, which lives on, may note something on the fresh one before the image is there
        stage.unmount()
        stage.mount()
        stage.put_the_image()
        if os.stat(stage.pod.root).st_ino == before:
            return  # as a fresh file system does: it numbers its folders as the old one did
    pytest.fail("the folder never got the number of the old one")


DISASTERS: list[Callable[[Stage], None]] = [
    wiped, wiped_in_place, wiped_file_by_file, wiped_in_place_but_for_a_few, replaced_by_a_fresh_image,
    replaced_together_with_its_volume, deleted, replaced_by_a_link, unmounted, unmounted_and_a_fresh_volume_mounted,
]  # fmt: skip
ON_A_DISK_OF_ITS_OWN = (unmounted, unmounted_and_a_fresh_volume_mounted)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEVPOD_RP_HOME", str(tmp_path / "h"))
    return tmp_path / "h"


@pytest.fixture
def stage(tmp_path: Path, home: Path) -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        rig = Rig(tmp_path)
        volume = tmp_path / "volume"
        stack.callback(subprocess.run, ["umount", "-l", str(volume)], check=False, capture_output=True)
        stack.callback(rig.stop)
        yield Stage(rig, volume)


@pytest.mark.parametrize("mode", ["one-way-safe", "two-way-safe", "one-way-replica"])
@pytest.mark.parametrize("disaster", DISASTERS, ids=lambda each: each.__name__)
def test_the_folder_here_is_untouched(stage: Stage, disaster: Callable[[Stage], None], mode: str) -> None:
    rig = stage.rig
    rig.mode = mode
    if disaster in ON_A_DISK_OF_ITS_OWN:
        stage.mount()
    for path, text in TREE.items():
        rig.write(path, text)
    rig.start(timing=QUICK)
    rig.ask("flush")
    assert stage.pod.files() == stage.local.files()
    before = stage.local.files()
    disaster(stage)
    with contextlib.suppress(Exception):
        rig.ask("flush", everything=True)  # a halt says so here; what counts is what it leaves
    rig.write("saved afterwards.txt", "a save must not end a halt")
    with contextlib.suppress(Exception):
        rig.ask("flush", everything=True)
    assert stage.local.files() == {**before, "saved afterwards.txt": "a save must not end a halt"}
    elsewhere = stage.volume / "elsewhere"
    if elsewhere.exists():
        assert Folder(elsewhere).files() == before, "nothing was written through the link"
        assert list((stage.volume / "empty").iterdir()) == []
    # A reconnection, which is what mostly follows, is no way around it.
    for connection in list(rig.pod.connections):
        for channel in connection.channels:
            channel.signal(signal.SIGKILL)
    with contextlib.suppress(Exception):
        rig.ask("flush", everything=True)
    assert stage.local.files() == {**before, "saved afterwards.txt": "a save must not end a halt"}
    # And when somebody has looked and says go on, both sides come together, and nothing is lost here either.
    rig.ask("resume")
    eventually(lambda: rig.ask("status")["state"] in ("watching", "halted"))
    trash = paths.environment_dir(rig.name) / "sync" / "local" / "trash"
    trashed = {path.read_text() for path in trash.glob("*/**/*.*") if path.is_file()}
    assert set(before.values()) <= {*stage.local.files().values(), *trashed}
