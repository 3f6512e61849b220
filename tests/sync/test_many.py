"""Very many new files at once, of which a plan is made piece by piece."""

from __future__ import annotations

from pathlib import Path

import pytest

from devpod_rp.sync import cycle, planning
from devpod_rp.sync.reconcile import reconcile
from tests.sync.conftest import Pair

_AT_ONCE = 10


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Over how many paths each plan was made; more than *_AT_ONCE* count as very many."""
    sizes: list[int] = []

    def counted(*trees, paths, **more):  # type: ignore[no-untyped-def]
        sizes.append(len(paths))
        return reconcile(*trees, paths=paths, **more)

    for module in (cycle, planning):
        monkeypatch.setattr(module, "MANY", _AT_ONCE)
    monkeypatch.setattr(planning, "reconcile", counted)
    return sizes


@pytest.mark.parametrize("mode", ["one-way-safe", "two-way-safe", "one-way-replica"])
@pytest.mark.parametrize("heard", [True, False], ids=["heard of", "found by looking"])
def test_all_of_them_arrive_and_no_plan_is_large(tmp_path: Path, planned: list[int], mode: str, heard: bool) -> None:
    pair = Pair(tmp_path, mode).both({"old.txt": "old", "edited.txt": "1"}).synced()
    new = {f"new/{number % 4}/{number}.txt": str(number) for number in range(45)}
    pair.both(new).local.write("edited.txt", "2")
    planned.clear()
    try:
        assert pair.sync(*(pair.local.files() if heard else ())).uploaded_files == 46
        assert pair.pod.files() == pair.local.files()
        assert len(planned) == (6 if heard else 5)  # what was not new is looked at by itself
        assert max(planned) <= _AT_ONCE + 2
        assert pair.session.status().pending == 0
        pair.restart()
        assert pair.sync().uploaded_files == 0
    finally:
        pair.close()


def test_what_the_pod_has_at_one_of_their_paths_is_a_conflict(two_way: Pair, planned: list[int]) -> None:
    two_way.both({"old.txt": "old"}).synced()
    new = {f"new/{number}.txt": str(number) for number in range(45)}
    two_way.both(new).pod.write("new/33.txt", "the pod's")
    two_way.sync(*new, pod=("new/33.txt",))
    assert two_way.conflicts() == ["new/33.txt"]
    assert two_way.pod.files() == {**two_way.local.files(), "new/33.txt": "the pod's"}
    assert max(planned) <= _AT_ONCE + 2


@pytest.mark.parametrize("heard", [True, False], ids=["heard of", "found by looking"])
def test_what_may_be_what_others_became_arrives_before_those_go(pair: Pair, planned: list[int], heard: bool) -> None:
    pair.both({f"data/{number}.bin": "x" * 6000 + str(number) for number in range(45)}).synced()
    before = pair.pod.files()
    (pair.local.root / "data").rename(pair.local.root / "renamed")
    planned.clear()
    pair.sync(*before, *pair.local.files()) if heard else pair.sync()
    assert pair.pod.files() == pair.local.files()
    assert planned[-1 if heard else 0] >= 46


def test_files_that_are_heard_of_one_by_one_are_looked_at_some_at_a_time(pair: Pair, planned: list[int]) -> None:
    new = {f"{number}.txt": str(number) for number in range(45)}
    pair.both({"gone.txt": "x", **{f"kept{number}": "" for number in range(9)}}).synced()
    pair.both(new).local.delete("gone.txt")
    planned.clear()
    assert pair.sync("gone.txt", *new).uploaded_files == 45
    assert pair.pod.files() == pair.local.files()
    assert planned == [10, 10, 10, 10, 5, 1]
