"""Random histories on two real folders: quick cycles end where full ones would, and nobody's content is ever lost."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from devpod_rp.sync.status import SyncHalted
from tests.sync.conftest import Folder, Pair

NAMES = ["a", "b", "a/x", "a/y", "b/x", "a/x/deep", "c.txt"]


def edit(folder: Folder, chance: random.Random) -> str:
    """One thing a user may do; returns the path that an observer would name."""
    path = chance.choice(NAMES)
    target = folder.root / path
    for above in list(target.relative_to(folder.root).parents)[:-1][::-1]:
        if not (folder.root / above).is_dir() or (folder.root / above).is_symlink():
            return edit(folder, chance)
    deed = chance.choice(["write", "write", "write", "remove", "mkdir", "link", "mode"])
    if deed == "mode" and target.is_file() and not target.is_symlink():
        target.chmod(chance.choice([0o644, 0o755]))
        return path
    if target.is_symlink() or target.is_file():
        target.unlink()
    elif target.is_dir():
        shutil.rmtree(target)
    if deed == "write":
        text = f"{folder.root.parent.name} {chance.random()} " * chance.choice([1, 500])
        target.write_text(text)
    elif deed == "mkdir":
        target.mkdir()
    elif deed == "link":
        os.symlink(chance.choice(["a", "c.txt", "nowhere"]), target)
    return path


def contents(*roots: Path) -> set[str]:
    return {
        path.read_text()
        for root in roots
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink() and path.suffix != ".json"
    }


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_lost_and_a_full_cycle_agrees_with_quick_ones(pair: Pair, seed: int) -> None:
    chance = random.Random(seed)
    pair.both({"keep1": "k", "keep2": "k"}).synced()
    for _ in range(40):
        here = {edit(pair.local, chance) for _ in range(chance.randint(1, 4))}
        for _ in range(chance.choice([0, 0, 1, 2])):
            edit(pair.pod, chance)
        before = pair.local.files()
        pod_before = contents(pair.pod.root)
        try:
            pair.sync(*here)
            pair.sync()
        except SyncHalted:
            pair.session.accept()  # a side became empty, which also chance may do
            continue
        assert pair.local.files() == before, "one-way never touches this side"
        assert pod_before <= contents(pair.pod.root, pair.volume / ".devpod_rp/trash", pair.local.root)
        conflicts, pod = set(pair.conflicts()), pair.pod.files()
        result = pair.sync()
        assert (result.uploaded_files, result.deleted) == (0, 0), "one full cycle is enough"
        assert pair.pod.files() == pod
        assert set(pair.conflicts()) == conflicts
    assert pair.litter() == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_while_only_this_side_is_edited_quick_cycles_alone_keep_the_pod_equal(pair: Pair, seed: int) -> None:
    chance = random.Random(seed)
    pair.both({"keep1": "k", "keep2": "k"}).synced()
    for _ in range(60):
        pair.sync(*{edit(pair.local, chance) for _ in range(chance.randint(1, 4))})
        assert pair.pod.files() == pair.local.files()
    assert pair.conflicts() == []
    assert pair.sync().uploaded_files == 0
