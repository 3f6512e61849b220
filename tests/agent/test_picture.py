"""A picture holds exactly as long as nothing that it shows has changed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from devpod_rp.agent.files import tree
from devpod_rp.agent.files.picture import Picture

LONG_AGO = time.time() - 100


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "src/deep").mkdir(parents=True)
    (root / "hollow").mkdir()
    for path in ("a", "src/b", "src/deep/c"):
        (root / path).write_text("1")
        os.utime(root / path, (LONG_AGO, LONG_AGO))
    os.symlink("a", root / "link")
    return root


def pictured(root: Path) -> Picture:
    picture = Picture(str(root))
    for _step in tree.Walk(str(root), picture=picture).steps():
        pass
    return picture


def settled(root: Path) -> Picture:
    """The picture once everything is older than a tick of the clock by which the kernel stamps."""
    deadline = time.monotonic() + 10
    while True:
        picture = pictured(root)
        if picture.proof:
            return picture
        assert time.monotonic() < deadline


def edit(root: Path) -> None:
    (root / "src/b").write_text("longer")


def rewrite_with_the_same_size_and_times(root: Path) -> None:
    (root / "src/deep/c").write_text("7")
    os.utime(root / "src/deep/c", (LONG_AGO, LONG_AGO))


def add(root: Path) -> None:
    (root / "hollow/new").write_text("")


def remove(root: Path) -> None:
    (root / "a").unlink()


def rename_over(root: Path) -> None:
    (root / "src/b").rename(root / "a")


def make_executable(root: Path) -> None:
    (root / "a").chmod(0o755)


def turn_a_link(root: Path) -> None:
    (root / "link").unlink()
    os.symlink("src", root / "link")


def swap_a_folder_for_a_link(root: Path) -> None:
    (root / "src/deep").rename(root.parent / "deep")
    os.symlink(root.parent / "deep", root / "src/deep")


def vanish(root: Path) -> None:
    root.rename(root.parent / "elsewhere")


def test_it_holds_while_nothing_happens(root: Path) -> None:
    picture = settled(root)
    (root / "a").read_text()
    assert picture.holds()
    assert picture.holds()


@pytest.mark.parametrize(
    "change",
    [
        edit,
        rewrite_with_the_same_size_and_times,
        add,
        remove,
        rename_over,
        make_executable,
        turn_a_link,
        swap_a_folder_for_a_link,
        vanish,
    ],
)
def test_it_holds_no_more_after(root: Path, change: Callable[[Path], None]) -> None:
    picture = settled(root)
    change(root)
    assert not picture.holds()


def test_what_was_just_written_is_no_proof(root: Path) -> None:
    settled(root)
    (root / "src/b").write_text("2")
    assert not pictured(root).proof
    settled(root)
    (root / "hollow/new").write_text("3")
    assert not pictured(root).proof, "another name could appear in this folder in the same tick"
