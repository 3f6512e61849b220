"""The watcher says where to look, soon, and in batches that mean something."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devpod_rp.sync.ignore import IgnoreRules
from devpod_rp.sync.watch import Batch, Watcher
from tests.sync.conftest import Pair

Wait = Callable[[Callable[[], bool]], None]


class Heard:
    def __init__(self) -> None:
        self.batches: list[Batch] = []

    @property
    def paths(self) -> set[str]:
        return {path for batch in self.batches for path in batch.paths}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True)
    (root / ".git").mkdir()
    return root


@pytest.fixture
def heard(root: Path) -> Iterator[Heard]:
    heard = Heard()
    rules = IgnoreRules(root)
    watcher = Watcher(root, lambda path, is_folder: not rules.ignored(path, is_folder), heard.batches.append)
    yield heard
    watcher.close()


def test_batches_are_joined_without_losing_what_any_of_them_asks_for() -> None:
    some, more = Batch(frozenset({"a", "b"})), Batch(frozenset({"b", "c"}), full=True)
    assert Batch.joined([some, more]) == Batch(frozenset({"a", "b", "c"}), full=True)
    assert Batch.joined([some]) == some


def test_an_edit_a_rename_and_a_deletion_are_heard(root: Path, heard: Heard, eventually: Wait) -> None:
    (root / "src/a.py").write_text("1")
    eventually(lambda: "src/a.py" in heard.paths)
    os.rename(root / "src/a.py", root / "src/b.py")
    eventually(lambda: "src/b.py" in heard.paths)
    (root / "src/b.py").unlink()
    eventually(lambda: "src/b.py" in heard.batches[-1].paths)
    assert not any(batch.full for batch in heard.batches)


def test_a_save_by_rename_names_both_files(root: Path, heard: Heard, eventually: Wait) -> None:
    (root / "src/tmp123").write_text("new")
    os.replace(root / "src/tmp123", root / "src/a.py")
    eventually(lambda: "src/a.py" in heard.paths)


def test_an_executable_bit_is_heard(root: Path, heard: Heard, eventually: Wait) -> None:
    (root / "run.sh").write_text("#!")
    eventually(lambda: "run.sh" in heard.paths)
    heard.batches.clear()
    os.chmod(root / "run.sh", 0o755)
    eventually(lambda: "run.sh" in heard.paths)


def test_ignored_files_make_no_noise(root: Path, heard: Heard, eventually: Wait) -> None:
    (root / "src/__pycache__").mkdir()
    (root / "src/__pycache__/a.pyc").write_text("x")
    (root / ".git/HEAD").write_text("ref")
    (root / "src/a.py").write_text("1")
    eventually(lambda: "src/a.py" in heard.paths)
    assert not any("pycache" in path or path.startswith(".git") for path in heard.paths)


def test_a_burst_comes_as_one_batch(root: Path, heard: Heard, eventually: Wait) -> None:
    for number in range(50):
        (root / f"src/{number}").write_text("x")
    eventually(lambda: len(heard.paths) >= 50)
    assert len(heard.batches) <= 5


def test_a_program_that_never_pauses_is_still_followed(root: Path, heard: Heard, eventually: Wait) -> None:
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            (root / "log.txt").write_text(str(time.monotonic()))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        eventually(lambda: len(heard.batches) >= 3)
    finally:
        done.set()
        writer.join()


def test_a_folder_moved_in_is_named_and_watched_from_then_on(root: Path, heard: Heard, eventually: Wait) -> None:
    outside = root.parent / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep/f.txt").write_text("x")
    os.rename(outside, root / "inside")
    eventually(lambda: "inside" in heard.paths)
    heard.batches.clear()
    (root / "inside/deep/f.txt").write_text("y")
    eventually(lambda: "inside/deep/f.txt" in heard.paths)


def test_a_running_git_command_holds_the_batch_back(root: Path, heard: Heard, eventually: Wait) -> None:
    (root / ".git/index.lock").write_text("")
    (root / "src/a.py").write_text("1")
    deadline = time.monotonic() + 0.4
    while time.monotonic() < deadline:
        assert heard.batches == []
        time.sleep(0.01)
    (root / ".git/index.lock").unlink()
    eventually(lambda: "src/a.py" in heard.paths)


def test_a_save_is_on_the_pod_well_within_a_second(pair: Pair, eventually: Wait) -> None:
    pair.both({"a.py": "0", "src/b.py": "0"}).synced()
    watcher = Watcher(
        pair.local.root,
        lambda path, is_folder: not pair.session.ignored(path, is_folder),
        lambda batch: pair.session.synchronise(None if batch.full else batch.paths) and None,
    )
    try:
        for number in range(5):
            began = time.monotonic()
            pair.local.write("src/b.py", f"edit {number}")
            eventually(lambda text=f"edit {number}": pair.pod.read("src/b.py") == text)
            assert time.monotonic() - began < 1.0
        pair.local.write("new/deep/c.py", "new")
        eventually(lambda: (pair.pod.root / "new/deep/c.py").exists())
        os.rename(pair.local.root / "new", pair.local.root / "old")
        eventually(lambda: (pair.pod.root / "old/deep/c.py").exists() and not (pair.pod.root / "new").exists())
    finally:
        watcher.close()
