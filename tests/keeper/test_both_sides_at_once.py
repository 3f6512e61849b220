"""People work on both sides at once while agents die and keepers are started anew: every word that somebody wrote is
still somewhere, and the sides come together as the mode says."""

from __future__ import annotations

import itertools
import os
import random
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from devpod_rp.agent.files import libc
from devpod_rp.control import KeeperRefused
from tests.keeper.rig import Rig

ROUNDS = 4
DEEDS = 60
FOLDERS = ("", "a", "b", "a/c", "d")
NAMES = tuple(f"{kind}{number}" for kind in "xy" for number in range(6))
WORD = re.compile(rb"<\d+\.\d+>")


class Person(threading.Thread):
    """Works in *folder*. Whatever they replace or remove they take *away*, so that it can be told from what is lost."""

    _numbers = itertools.count(1)

    def __init__(self, folder: Path, away: Path, seed: float) -> None:
        super().__init__()
        self._folder = folder
        self._away = away
        self._chance = random.Random(seed)
        self._number = next(self._numbers)
        self._words = itertools.count(1)
        self.written: set[bytes] = set()

    def run(self) -> None:
        deeds = (self.save, self.save, self.append, self.append, self.remove, self.rename, self.link, self.mark)
        for _ in range(DEEDS):
            with suppress(OSError):  # somebody else was faster
                self._chance.choice(deeds)()
            time.sleep(self._chance.random() * 0.01)

    def save(self) -> None:
        """As editors do: what was there before goes in the same step."""
        path, word = self._path(), self._word()
        path.parent.mkdir(parents=True, exist_ok=True)
        new = self._aside()
        new.write_bytes(word * self._chance.choice((1, 3, 3000)))
        self.written.add(word)
        try:
            os.link(new, path)
            new.unlink()
        except FileExistsError:
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                assert libc.exchange(os.fsencode(new), os.fsencode(path.name), folder)
            finally:
                os.close(folder)

    def append(self) -> None:
        word = self._word()
        descriptor = os.open(self._path(), os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
        try:
            os.write(descriptor, word)
        finally:
            os.close(descriptor)
        self.written.add(word)

    def remove(self) -> None:
        """A file, or now and then a folder with all that is in it."""
        self._any().rename(self._aside())

    def rename(self) -> None:
        """A folder, to a name that is free."""
        self._folder.joinpath(self._chance.choice(FOLDERS[1:])).rename(self._folder / self._chance.choice(FOLDERS[1:]))

    def link(self) -> None:
        self._path().symlink_to(self._chance.choice(NAMES))

    def mark(self) -> None:
        self._path().chmod(self._chance.choice((0o644, 0o755)))

    def _any(self) -> Path:
        return self._folder / self._chance.choice(FOLDERS[1:]) if self._chance.random() < 0.1 else self._path()

    def _path(self) -> Path:
        return self._folder / self._chance.choice(FOLDERS) / self._chance.choice(NAMES)

    def _aside(self) -> Path:
        return self._away / f"{self._number}-{next(self._words)}"

    def _word(self) -> bytes:
        return b"<%d.%d>" % (self._number, next(self._words))


@pytest.mark.parametrize("mode", ["two-way-safe", "one-way-safe", "one-way-replica"])
def test_every_word_is_somewhere_and_the_sides_come_together(rig: Rig, tmp_path: Path, mode: str) -> None:
    chance = random.Random(mode)
    rig.mode = mode
    rig.write("there", "1")
    rig.start()
    rig.until(state="watching", local_files=1)
    away = tmp_path / "away"
    away.mkdir()
    written: set[bytes] = set()
    for _ in range(ROUNDS):
        people = [Person(side, away, chance.random()) for side in (rig.folder, rig.pod.folder) for _ in range(2)]
        for person in people:
            person.start()
        time.sleep(chance.random() * 0.3)
        disturb(rig, chance)
        for person in people:
            person.join()
            written |= person.written
        here = tree(rig.folder)
        conflicts = come_together(rig, mode)
        if mode != "two-way-safe":
            assert tree(rig.folder) == here, "nothing comes here"
        assert written <= set(words(tmp_path)), "lost"
        for path in conflicts:
            with suppress(KeeperRefused):  # both versions of a folder cannot be kept
                rig.ask("resolve", path=path, keep=chance.choice(("local", "pod", "both")))
        assert written <= set(words(tmp_path)), "lost by a decision"
    come_together(rig, mode)
    assert [path for path in files_below(tmp_path) if "/stage/" in str(path)] == []


def disturb(rig: Rig, chance: random.Random) -> None:
    what = chance.choice(("agent", "keeper", "pause"))
    if what == "agent":
        rig.pod.signal(signal.SIGKILL)
    elif what == "keeper":
        rig.stop()
        rig.start()
    else:
        rig.ask("pause")
        time.sleep(chance.random() * 0.3)
        rig.ask("resume")


def come_together(rig: Rig, mode: str) -> set[str]:
    """Flush until both sides are the same but for conflicts, which are returned."""
    different: set[str] = set()
    for _ in range(10):
        try:
            status = rig.ask("flush")
        except KeeperRefused:
            rig.ask("resume")  # what looks like an accident is meant
            continue
        conflicts = {each["path"] for each in status["conflicts"]}
        here, there = tree(rig.folder), tree(rig.pod.folder)
        different = {path for path in here.keys() | there.keys() if here.get(path) != there.get(path)}
        different = {path for path in different if not any(near(path, conflict) for conflict in conflicts)}
        if mode == "one-way-safe" or not different:
            return conflicts
    raise AssertionError(f"they stay different: {sorted(different)}")


def near(path: str, other: str) -> bool:
    return path == other or path.startswith(other + "/") or other.startswith(path + "/")


def tree(root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_dir():
            found[name] = None
        else:
            found[name] = (path.read_bytes(), bool(path.stat().st_mode & 0o100))
    return found


def words(tmp_path: Path) -> Iterator[bytes]:
    """What is on one of the sides, in one of their trashes, or was taken away."""
    for path in files_below(tmp_path):
        if "/stage/" not in str(path):
            yield from WORD.findall(path.read_bytes())


def files_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
