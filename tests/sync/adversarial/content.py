"""Cases 6, 8, 12 to 14 and 43: sizes at every border, executable bits, holes, ticks and clocks that lie."""

from __future__ import annotations

import os
import random
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sync.adversarial.scene import Scene, moved, quiet, settled
from tests.sync.conftest import Folder

BORDERS = (0, 1, *(border + by for border in (64 << 10, 256 << 10, 512 << 10, 1 << 20, 8 << 20) for by in (-1, 0, 1)))
DAY_NS = 24 * 3600 * 10**9


def files_at_every_border_of_frames_and_blocks_arrive_whole_both_ways(scene: Scene) -> None:
    pair = scene.pair()
    chance = random.Random(6)
    for size in BORDERS:
        pair.local.write(f"here/{size}", chance.randbytes(size))
        pair.pod.write(f"there/{size}", chance.randbytes(size))
    settled(pair)
    for size in BORDERS:  # one byte more or less, which crosses the border
        with (pair.local.root / f"here/{size}").open("ab") as stream:
            stream.write(b"+")
        os.truncate(pair.pod.root / f"there/{size}", max(0, size - 1))
    settled(pair)


def executable_bits_travel_alone_and_toggled_on_both_sides_they_lose_nothing(scene: Scene) -> None:
    pair = scene.pair()
    pair.both({"here.sh": "1", "there.sh": "1", "same.sh": "1", "clash.sh": "1"})
    settled(pair)
    (pair.local.root / "here.sh").chmod(0o755)
    (pair.pod.root / "there.sh").chmod(0o755)
    for side in (pair.local, pair.pod):
        (side.root / "same.sh").chmod(0o755)
    (pair.local.root / "clash.sh").chmod(0o755)
    pair.pod.write("clash.sh", "edited there")
    pair.sync()
    for side in (pair.local, pair.pod):
        assert all(_executable(side, name) for name in ("here.sh", "there.sh", "same.sh"))
    assert pair.conflicts() == ["clash.sh"]
    assert (pair.local.read("clash.sh"), pair.pod.read("clash.sh")) == ("1", "edited there")
    (pair.pod.root / "here.sh").chmod(0o644)
    quiet(pair)
    assert not _executable(pair.local, "here.sh")
    assert pair.trash() == pair.trash_here() == {}, "no content moved for it"


def a_disk_without_executable_bits_neither_takes_them_away_nor_gives_them(scene: Scene) -> None:
    pair = scene.pair()
    scene.stick(pair.volume)
    pair.both({"run.sh": "#!", "plain.txt": "p"})
    (pair.local.root / "run.sh").chmod(0o755)
    pair.sync()
    assert (_executable(pair.local, "run.sh"), _executable(pair.local, "plain.txt")) == (True, False)
    assert moved(pair) == 0, "what the disk says of bits is no news"
    pair.pod.write("plain.txt", "edited there")
    pair.pod.write("new.txt", "made there")
    settled(pair)
    assert (_executable(pair.local, "run.sh"), _executable(pair.local, "plain.txt")) == (True, False)
    assert pair.conflicts() == []


def a_sparse_file_stays_sparse_both_ways(scene: Scene) -> None:
    size = 256 << 20  # forty times as much takes a minute to be read, and shows nothing more
    pair = scene.pair()
    for side, name in ((pair.local, "here.img"), (pair.pod, "there.img")):
        side.root.mkdir(exist_ok=True)
        with (side.root / name).open("wb") as stream:
            stream.truncate(size)
            stream.seek(size // 2)
            stream.write(os.urandom(1 << 20))
        side.write(f"zeros of {name}", b"\0" * (4 << 20))
    quiet(pair)
    for name in ("here.img", "there.img"):
        here, there = os.stat(pair.local.root / name), os.stat(pair.pod.root / name)
        assert here.st_size == there.st_size == size
        assert max(here.st_blocks, there.st_blocks) * 512 < 8 << 20, "holes stay holes"
        for side in (pair.local, pair.pod):
            with (side.root / name).open("rb") as stream:
                stream.seek(size // 2)
                assert any(stream.read(1 << 20))


def a_rewrite_of_the_same_size_in_the_same_tick_is_found(scene: Scene) -> None:
    pair = scene.pair()
    pair.both({"here": "0000", "there": "0000"}).synced()
    for number in range(1, 30):
        # The look comes between two writes of one tick of the kernel's clock.
        pair.local.write("here", f"{number:04}")
        pair.pod.write("there", f"{number:04}")
        pair.sync()
        pair.local.write("here", f"{number + 5000}")
        pair.pod.write("there", f"{number + 5000}")
        pair.sync()
        assert pair.pod.read("here") == pair.local.read("there") == str(number + 5000)


def a_rewrite_whose_times_were_put_back_is_found(scene: Scene) -> None:
    pair = scene.pair()
    pair.both({"here": "0000", "there": "0000"}).synced()
    for number in range(1, 6):
        for side, name in ((pair.local, "here"), (pair.pod, "there")):
            before = os.stat(side.root / name)
            side.write(name, f"{number:04}")
            os.utime(side.root / name, ns=(before.st_atime_ns, before.st_mtime_ns))
        pair.sync()
        assert pair.pod.read("here") == pair.local.read("there") == f"{number:04}"


def clocks_a_day_apart_decide_nothing(scene: Scene) -> None:
    for offset in ("+1d", "-1d"):
        _with_a_clock(scene, offset)


def _with_a_clock(scene: Scene, offset: str) -> None:
    pair = scene.pair(name=f"clock {offset}", command=_clock(offset))
    pair.both({"here": "1", "there": "1", "both": "1", "gone": "1", "old": "1"}).synced()
    pair.local.write("here", "edited here")
    pair.pod.write("there", "edited there")
    pair.local.write("both", "edited here too")
    pair.pod.write("both", "edited there too, and later")
    pair.local.delete("gone")
    os.utime(pair.pod.root / "old", ns=(0, 0))
    os.utime(pair.local.root / "old", ns=(time.time_ns() + DAY_NS,) * 2)
    pair.sync()
    assert pair.pod.read("here") == "edited here"
    assert pair.local.read("there") == "edited there"
    assert pair.conflicts() == ["both"]
    assert "gone" not in pair.pod.files()
    # A rewrite in the tick of a look is seen although the agent's clock says that the file is old, or not born yet.
    for number in range(1, 15):
        pair.pod.write("there", f"{number:04}")
        pair.sync()
        pair.pod.write("there", f"{number + 5000}")
        pair.sync()
        assert pair.local.read("there") == str(number + 5000)
    pair.session.resolve("both", "local")
    settled(pair)


def a_disk_that_counts_in_seconds_hides_no_rewrite(scene: Scene) -> None:
    for offset in ("+0", "+1d", "-1d"):
        pair = scene.pair(name=f"stick {offset}", command=_clock(offset))
        scene.stick(pair.volume)
        pair.both({"f": "0000", "other": "o"}).sync()
        for number in range(1, 5):
            pair.pod.write("f", f"{number:04}")
            pair.sync()
            pair.pod.write("f", f"{number + 5000}")
            pair.sync()
            assert pair.local.read("f") == str(number + 5000), offset
        pair.close()


def _clock(offset: str) -> Callable[[str], str]:
    """Makes a command see another time than the one that its file systems stamp files with."""
    library = next((str(path) for path in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
    if library is None:
        pytest.skip("libfaketime is not installed")
    fake = f"export LD_PRELOAD={library} FAKETIME='{offset}' NO_FAKE_STAT=1 FAKETIME_DONT_FAKE_MONOTONIC=1; "
    return lambda command: fake + command


def times_beyond_every_calendar_are_carried_or_left_but_stop_nothing(scene: Scene) -> None:
    pair = scene.pair()
    scene.tiny_disk(pair.local.root, 4)  # this one holds any time
    far = {"before.txt": -(10**18), "2300.txt": 10_413_792_000, "10000.txt": 253_402_300_800, "far.txt": 9 * 10**15}
    for name, seconds in far.items():
        pair.local.write(name, name)
        os.utime(pair.local.root / name, ns=(0, seconds * 10**9 if abs(seconds) < 10**16 else seconds))
        pair.pod.write(f"pod/{name}", name)
        _touched(pair.pod, f"pod/{name}", seconds)
    pair.sync()
    for name in far:
        assert pair.pod.read(name) == pair.local.read(f"pod/{name}") == name
    pair.local.write("10000.txt", "here")
    os.utime(pair.local.root / "10000.txt", ns=(0, 253_402_300_800 * 10**9))
    pair.pod.write("10000.txt", "there")
    pair.sync()
    assert pair.conflicts() == ["10000.txt"], "and it can be told, whatever the year"
    pair.session.resolve("10000.txt", "both")
    pair.restart()
    quiet(pair)


def a_file_that_grows_past_a_border_and_shrinks_again_arrives_each_time(scene: Scene) -> None:
    pair = scene.pair()
    chance = random.Random(43)
    for size in (10, (1 << 20) + 10, (9 << 20) + 1, (1 << 20) - 1, 3, 0, 2 << 20):
        pair.local.write("here", chance.randbytes(size))
        pair.pod.write("there", chance.randbytes(size))
        pair.sync()
        for name in ("here", "there"):
            assert (pair.local.root / name).read_bytes() == (pair.pod.root / name).read_bytes()
            assert (pair.pod.root / name).stat().st_size == size
    quiet(pair)


def _executable(folder: Folder, path: str) -> bool:
    return bool(os.stat(folder.root / path).st_mode & stat.S_IXUSR)


def _touched(folder: Folder, path: str, seconds: int) -> None:
    try:
        os.utime(folder.root / path, (0, seconds))
    except (OSError, OverflowError):
        return  # this file system cannot hold it, so nobody can make such a file there
