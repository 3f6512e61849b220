"""Cases 7 and 9 to 11: folders and files that cannot be read, links of every sort, and what is no file at all."""

from __future__ import annotations

import os
import socket
import stat
import threading
from pathlib import Path

from devpod_rp.agent.files import libc
from tests.sync.adversarial.scene import Scene, as_nobody, need_root, quiet, settled


def empty_folders_travel_and_odd_modes_stay_where_they_are(scene: Scene) -> None:
    pair = scene.pair()
    pair.both({"f": "1"})
    for path in ("empty", "deep/er/empty"):
        (pair.local.root / path).mkdir(parents=True)
        (pair.pod.root / f"from the pod/{path}").mkdir(parents=True)
    (pair.local.root / "empty").chmod(0o1777)
    (pair.local.root / "deep").chmod(0o2755)
    (pair.local.root / "f").chmod(0o4755)
    settled(pair)
    assert stat.S_IMODE((pair.pod.root / "f").stat().st_mode) & 0o7000 == 0, "no setuid on the other side"
    (pair.pod.root / "deep/er/empty").rmdir()
    settled(pair)
    assert not (pair.local.root / "deep/er/empty").exists()


def what_may_not_be_read_is_named_and_not_taken_for_deleted(scene: Scene) -> None:
    pair = scene.pair()
    pair.both({"secret": "s", "private/f": "f", "open": "o"}).synced()
    before = pair.pod.files()
    with scene.unprivileged():
        (pair.local.root / "secret").chmod(0)
        (pair.local.root / "private").chmod(0)
        pair.local.write("open", "edited")
        pair.restart()
        pair.sync()
        problems = pair.problems()
        (pair.local.root / "private").chmod(0o755)
        (pair.local.root / "secret").chmod(0o644)
    assert {"secret", "private"} <= problems.keys(), problems
    assert pair.pod.files() == {**before, "open": "edited"}
    settled(pair)


def what_may_not_be_read_on_the_pod_is_named_and_not_taken_for_deleted(scene: Scene) -> None:
    pair = scene.pair(command=as_nobody)
    pair.both({"secret": "s", "private/f": "f", "open": "o"})
    pair.pod.root.mkdir()
    scene.give_away()
    pair.synced()
    before = pair.local.files()
    (pair.pod.root / "private").chmod(0)
    (pair.pod.root / "secret").chmod(0)
    pair.pod.write("open", "edited")
    pair.restart()
    pair.sync()
    assert "private" in pair.problems(), pair.problems()
    assert pair.local.files() == {**before, "open": "edited"}
    (pair.pod.root / "private").chmod(0o755)
    (pair.pod.root / "secret").chmod(0o644)
    settled(pair)


def links_travel_as_text_and_those_that_lead_out_stay_and_are_named(scene: Scene) -> None:
    outside = scene.top / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    inside = {"relative": "d/f", "dangling": "d/later", "loop": "loop", "d/parent": "..", "folder": "d", "self": "."}
    leaving = {"absolute": str(outside), "out": "../outside", "d/out": "../../outside/precious"}
    pair = scene.pair()
    pair.both({"d/f": "1"})
    pair.pod.write("there/d/f", "1")
    for path, target in (inside | leaving).items():
        os.symlink(target, pair.local.root / path)
        os.symlink(target, pair.pod.root / "there" / path)
    pair.sync()
    for path, target in inside.items():
        assert os.readlink(pair.pod.root / path) == os.readlink(pair.local.root / "there" / path) == target
    # From "there", one step up is still inside.
    assert {"absolute", "out", "d/out", "there/absolute"} <= pair.problems().keys()
    assert not os.path.lexists(pair.pod.root / "out")
    assert not os.path.lexists(pair.local.root / "there/absolute")
    quiet(pair)
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"precious": "precious"}


def a_link_becomes_a_folder_and_a_folder_a_link_on_either_side(scene: Scene) -> None:
    pair = scene.pair()
    pair.both({"real/f": "1", "d/f": "2"})
    os.symlink("real", pair.local.root / "l")
    settled(pair)
    for side in (pair.local, pair.pod):
        (side.root / "l").unlink()
        side.write("l/now a folder", side.root.name)
        settled(pair)
        side.delete("l/now a folder")
        (side.root / "l").rmdir()
        os.symlink("real", side.root / "l")
        settled(pair)
        assert pair.pod.read("real/f") == pair.local.read("real/f") == "1", "nothing was written through the link"
    assert pair.conflicts() == []


def a_folder_flipping_to_a_link_out_of_the_root_leads_nowhere(scene: Scene) -> None:
    outside = scene.top / "outside"
    outside.mkdir()
    (outside / "f0").write_text("precious")
    pair = scene.pair("one-way-safe")
    pair.both({"d/f0": "0", "keep": "k"}).synced()
    link = pair.volume / "link"
    os.symlink(outside, link)
    volume = os.open(pair.pod.root, os.O_RDONLY)
    scene.finally_(lambda: os.close(volume))
    done = threading.Event()
    flips = 0

    def flip() -> None:
        nonlocal flips
        while not done.is_set() or flips < 10_000 or (pair.pod.root / "d").is_symlink():
            if not libc.exchange(os.fsencode(link), b"d", volume):
                return
            flips += 1

    flipping = threading.Thread(target=flip)
    flipping.start()
    try:
        for number in range(40):
            pair.local.write(f"d/f{number % 7}", f"content {number}")
            pair.sync(f"d/f{number % 7}")
    finally:
        done.set()
        flipping.join()
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"f0": "precious"}
    if flips:
        settled(pair)


def pipes_sockets_and_devices_are_named_and_never_opened(scene: Scene) -> None:
    pair = scene.pair()
    pair.both({"f": "1"}).synced()
    for side in (pair.local, pair.pod):
        os.mkfifo(side.root / f"pipe {side.root.parent.name}")
        server = socket.socket(socket.AF_UNIX)
        scene.finally_(server.close)
        folder = os.open(side.root, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{folder}/socket")
        os.close(folder)
    # A pipe takes the place of a file: the file of the other side is not deleted for that.
    pair.pod.delete("f")
    os.mkfifo(pair.pod.root / "f")
    pair.sync()
    problems = pair.problems()
    assert "f" in problems, problems
    assert any("pipe" in path for path in problems), problems
    assert pair.local.read("f") == "1"


def a_device_is_named_and_never_opened(scene: Scene) -> None:
    need_root("make a device")
    pair = scene.pair()
    pair.both({"f": "1"})
    os.mknod(pair.local.root / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    pair.sync()
    assert "character device" in pair.problems()["device"]
    assert pair.pod.files() == {"f": "1"}


def hard_links_become_files_of_their_own(scene: Scene) -> None:
    pair = scene.pair()
    pair.both({"one": "1"})
    os.link(pair.local.root / "one", pair.local.root / "two")
    settled(pair)
    pair.pod.write("one", "edited there")  # in place: there it is not "two"
    settled(pair)
    assert pair.pod.read("two") == "1"


def a_disk_mounted_below_either_folder_is_written_to_or_named(scene: Scene) -> None:
    pair = scene.pair()
    pair.both({"f": "1", "data/here.bin": "1"}).synced()
    for side in (pair.local, pair.pod):
        disk = side.root / "disk"
        disk.mkdir()
        scene.tiny_disk(disk, 1)
        (disk / f"made in {side.root.parent.name}").write_text("1")
    pair.sync()
    named = [path for path in pair.problems() if path.startswith("disk")]
    there, here = set(os.listdir(pair.pod.root / "disk")), set(os.listdir(pair.local.root / "disk"))
    assert there == here or named, (there, here)
    pair.local.write("f", "2")
    pair.sync()
    assert pair.pod.read("f") == "2", "the rest goes on"
    assert _mounted(pair.local.root / "disk")
    assert _mounted(pair.pod.root / "disk")


def a_disk_below_the_folder_that_is_unmounted_takes_nothing_from_the_other_side(scene: Scene) -> None:
    pair = scene.pair()
    (pair.local.root / "data").mkdir()
    scene.tiny_disk(pair.local.root / "data", 1)
    pair.both({"f": "1", **{f"data/{number}": str(number) for number in range(15)}}).synced()
    before = pair.pod.files()
    scene.unmount(pair.local.root / "data")
    pair.sync()
    pair.restart()
    pair.sync()
    assert pair.pod.files() == before, "an empty mount point is no deletion"
    assert any(path == "data" or path.startswith("data/") for path in pair.problems())


def _mounted(path: Path) -> bool:
    return os.stat(path).st_dev != os.stat(path.parent).st_dev
