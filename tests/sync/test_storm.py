"""Many files edited at once: some are sent while the next are looked at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devpod_rp.sync import cycle
from tests.sync.conftest import Pair

_FEW = 4
FILES = {f"src/pkg{number % 3}/module{number}.py": f"# {number}\n" for number in range(30)}


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cycle, "_FEW", _FEW)


@pytest.fixture(params=["one-way-safe", "two-way-safe", "one-way-replica"])
def any_mode(tmp_path: Path, request: pytest.FixtureRequest) -> Pair:
    return Pair(tmp_path, request.param).both(FILES).synced()


def edit_all(pair: Pair) -> list[str]:
    for path, content in FILES.items():
        pair.local.write(path, content + "edited\n")
    return list(FILES)


def test_each_goes_once_and_what_else_happened_goes_too(any_mode: Pair) -> None:
    pair, root = any_mode, any_mode.local.root
    paths = edit_all(pair)
    gone, folder, link, mode, touched = paths[3], paths[7], paths[11], paths[15], paths[19]
    pair.local.delete(gone)
    (root / folder).unlink()
    pair.local.write(folder + "/inside.txt", "a folder now")
    (root / link).unlink()
    os.symlink("module0.py", root / link)
    pair.local.write(mode, FILES[mode])
    (root / mode).chmod(0o755)
    pair.local.write(touched, FILES[touched])
    pair.local.write("src/new.py", "new")
    try:
        result = pair.sync(*paths, folder + "/inside.txt", "src/new.py")
        assert pair.pod.files() == pair.local.files()
        assert os.access(pair.pod.root / mode, os.X_OK)
        assert not result.full
        assert result.uploaded_files == len(paths) - 5 + len((folder, link, mode, "new"))
        assert pair.session.status().pending == 0
        assert pair.sync().uploaded_files == 0
        assert pair.litter() == []
    finally:
        pair.close()


def test_each_replaced_version_can_be_brought_back(pair: Pair) -> None:
    pair.both(FILES).synced()
    pair.sync(*edit_all(pair))
    assert pair.trash() == FILES


@pytest.mark.parametrize("mode", ["one-way-safe", "two-way-safe"])
def test_what_the_pod_changed_unheard_meanwhile_is_a_conflict_and_stays(tmp_path: Path, mode: str) -> None:
    pair = Pair(tmp_path, mode).both(FILES).synced()
    paths = edit_all(pair)
    pair.pod.write(paths[13], "the pod's")
    try:
        pair.sync(*paths)
        assert pair.conflicts() == [paths[13]]
        assert pair.pod.files() == {**pair.local.files(), paths[13]: "the pod's"}
    finally:
        pair.close()


def test_those_that_were_renamed_are_not_sent_again(pair: Pair) -> None:
    big = {f"data/{number}.bin": f"{number} " * 2000 for number in range(120)}
    pair.both(big).synced()
    (pair.local.root / "data").rename(pair.local.root / "renamed")
    result = pair.sync(*big, "data", "renamed", *(path.replace("data/", "renamed/") for path in big))
    assert pair.pod.files() == pair.local.files()
    assert result.deleted == len(big) + 1
