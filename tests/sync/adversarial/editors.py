"""Cases 15 to 17: how programs save, seen by a real keeper with its watchers on both sides."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devpod_rp.agent.sync.settling import Pace
from tests.keeper.rig import Rig
from tests.sync.adversarial.scene import Scene, eventually

Save = Callable[[Path, str], None]


def _vim(path: Path, text: str) -> None:
    os.rename(path, f"{path}~")
    path.write_text(text)
    os.unlink(f"{path}~")


def _emacs(path: Path, text: str) -> None:
    lock = path.with_name(f".#{path.name}")
    os.symlink("somebody@host.1", lock)
    path.with_name(f"#{path.name}#").write_text(text)
    shutil.copy2(path, f"{path}~")
    path.write_text(text)
    path.with_name(f"#{path.name}#").unlink()
    lock.unlink()
    os.unlink(f"{path}~")


def _in_place(path: Path, text: str) -> None:
    with path.open("r+") as stream:  # nano, VS Code: truncate, then write
        stream.truncate(0)
        stream.flush()
        time.sleep(0.01)
        stream.write(text)


def _jetbrains(path: Path, text: str) -> None:
    new, old = path.with_name(f"{path.name}___jb_tmp___"), path.with_name(f"{path.name}___jb_old___")
    new.write_text(text)
    os.rename(path, old)
    os.rename(new, path)
    old.unlink()


def _temporary(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    new.write_text(text)
    os.replace(new, path)


def _deleted_first(path: Path, text: str) -> None:
    path.unlink()
    time.sleep(0.02)
    path.write_text(text)


def _sed(path: Path, text: str) -> None:
    subprocess.run(["sed", "-i", f"s/.*/{text}/", str(path)], check=True)


SAVES: tuple[Save, ...] = (_vim, _emacs, _in_place, _jetbrains, _temporary, _deleted_first, _sed)


def whatever_way_an_editor_saves_the_other_side_never_sees_a_gap(scene: Scene) -> None:
    rig = scene.keeper("two-way-safe")
    for save in SAVES:
        rig.write(f"here{save.__name__}", "version 0")
        rig.write(f"there{save.__name__}", "version 0")
    rig.start()
    rig.ask("flush")
    sides = {"here": (rig.folder, rig.pod.folder), "there": (rig.pod.folder, rig.folder)}
    for side, (mine, theirs) in sides.items():
        for save in SAVES:
            name = f"{side}{save.__name__}"
            with _watched(theirs / name) as seen:
                for number in range(1, 4):
                    save(mine / name, f"version {number}")
                    eventually(lambda: _read(theirs / name) == f"version {number}", f"{name} {number}")  # noqa: B023
            allowed = {f"version {number}" for number in range(4)}
            assert seen - {f"{text}\n" for text in allowed} <= allowed, f"{name}: {seen}"
    rig.ask("flush")
    status = rig.ask("status")
    assert (status["conflicts"], status["pending"]) == ([], 0)
    names = {f"{side}{save.__name__}" for side in sides for save in SAVES}
    assert set(rig.pod.files()) == {each.name for each in rig.folder.iterdir()} == names, (
        "no scrap of an editor travels"
    )
    versions = [path.name for path in _trash(rig) if path.is_file()]
    assert all(versions.count(name) <= 6 for name in names), "each save was sent once"


def a_file_that_is_empty_while_it_is_saved_does_not_arrive_empty(scene: Scene) -> None:
    rig = scene.keeper("two-way-safe")
    rig.write("f", "version 0")
    rig.write("emptied", "something")
    rig.start()
    rig.ask("flush")
    longest = 0.0
    with _watched(rig.pod.folder / "f") as seen:
        for number in range(1, 8):
            began = time.monotonic()
            with (rig.folder / "f").open("w") as stream:
                time.sleep(0.015)  # the window between the truncation and the write (vscode#98063)
                stream.write(f"version {number}")
            longest = max(longest, time.monotonic() - began)
            eventually(lambda: _read(rig.pod.folder / "f") == f"version {number}", f"version {number}")  # noqa: B023
    assert "" not in seen or longest >= Pace().open, "on a machine that held the editor up, empty may be what it is"
    (rig.folder / "emptied").write_text("")
    eventually(lambda: _read(rig.pod.folder / "emptied") == "", "a file that stays empty is empty there, too")


def a_log_that_never_stops_growing_arrives_in_whole_pieces(scene: Scene) -> None:
    rig = scene.keeper("two-way-safe")
    rig.write("train.log", "")
    rig.start()
    rig.ask("flush")
    done = threading.Event()

    def log() -> None:
        number = 0
        with (rig.folder / "train.log").open("a") as stream:
            while not done.is_set():
                stream.write("".join(f"step {number + n} ".ljust(1023, ".") + "\n" for n in range(20)))
                stream.flush()
                number += 20
                time.sleep(0.02)  # a megabyte in a second

    writer = threading.Thread(target=log)
    writer.start()
    lengths: set[int] = set()
    try:
        deadline = time.monotonic() + 20
        while len(lengths) < 3:
            assert time.monotonic() < deadline, "it does not arrive while it grows"
            text = (rig.pod.folder / "train.log").read_bytes()
            lengths.add(len(text))
            assert (rig.folder / "train.log").read_bytes().startswith(text), "what is there is the log up to some point"
            time.sleep(0.02)
    finally:
        done.set()
        writer.join()
    rig.ask("flush")
    assert (rig.pod.folder / "train.log").read_bytes() == (rig.folder / "train.log").read_bytes()
    assert rig.ask("status")["conflicts"] == []


def a_database_that_is_written_arrives_whole_when_it_rests(scene: Scene) -> None:
    rig = scene.keeper("two-way-safe")
    database = sqlite3.connect(rig.folder / "runs.sqlite3", isolation_level=None)
    scene.finally_(database.close)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE runs (number INTEGER, payload BLOB)")
    rig.start()
    for number in range(150):
        database.execute("INSERT INTO runs VALUES (?, ?)", (number, os.urandom(2000)))
        time.sleep(0.002)
    rig.ask("flush")
    assert {path.name: path.read_bytes() for path in rig.pod.folder.iterdir()} == {
        path.name: path.read_bytes() for path in rig.folder.iterdir() if not path.name.endswith("-shm")
    } | {path.name: path.read_bytes() for path in rig.pod.folder.glob("*-shm")}
    there = sqlite3.connect(rig.pod.folder / "runs.sqlite3")
    scene.finally_(there.close)
    assert there.execute("SELECT count(*) FROM runs").fetchone() == (150,)
    assert there.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@contextlib.contextmanager
def _watched(path: Path) -> Iterator[set[str]]:
    """Every content that *path* shows until the end of the block; "absent" where it is not there."""
    seen: set[str] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.add(_read(path))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        done.set()
        looking.join()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return "absent"


def _trash(rig: Rig) -> list[Path]:
    return [*(rig.pod.folder.parent / ".devpod_rp/trash").glob("*/*/*")]


def a_real_checkout_of_a_branch_arrives_as_it_is(scene: Scene) -> None:
    if shutil.which("git") is None:
        pytest.skip("no git here")
    files, rounds = 400, 6  # of 2,000 files ten times it takes half a minute, and shows nothing more
    rig = scene.keeper("two-way-safe")

    def git(*words: str) -> None:
        command = ["git", "-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false", *words]
        subprocess.run(command, cwd=rig.folder, check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    for branch in ("main", "other"):
        for number in range(files):
            rig.write(f"src/d{number % 20}/f{number}.py", f"{branch} {number}")
        rig.write(f"only-{branch}/x.py", branch)
        git("add", "-A")
        git("commit", "-q", "-m", branch)
        if branch == "main":
            git("checkout", "-q", "-b", "other")
            shutil.rmtree(rig.folder / "only-main")
    rig.start()
    rig.ask("flush")
    for number in range(rounds):
        git("checkout", "-q", "main" if number % 2 == 0 else "other")
        time.sleep(0.01 * number)
    rig.write("src/d0/f0.py", "stashed")
    git("stash", "-q")
    git("rebase", "-q", "main")
    lock = rig.folder / ".git/index.lock"
    lock.touch()
    rig.write("under the lock.txt", "1")
    lock.unlink()
    rig.ask("flush")
    assert rig.pod.files() == {
        str(path.relative_to(rig.folder)): path.read_text()
        for path in rig.folder.rglob("*")
        if path.is_file() and ".git" not in path.parts
    }
    status = rig.ask("status")
    assert (status["state"], status["conflicts"], status["pending"]) == ("watching", [], 0)
