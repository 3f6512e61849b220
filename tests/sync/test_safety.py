"""The brakes and small rules around a plan, each as a pure function."""

from __future__ import annotations

import pytest

from devpod_rp.agent.files.entries import Entry
from devpod_rp.sync.links import leaves_the_folder
from devpod_rp.sync.reconcile import Action, Side
from devpod_rp.sync.safety import unexpected_deletions, was_emptied

FILE = Entry("file", 1, False, "x", "", 0)
FOLDER = Entry("dir", 0, False, "", "", 0)


def deletions(count: int, of: int, observed: tuple[str, ...] = ()) -> int:
    ancestor = {f"d/{number}": FILE for number in range(of)} | {"d": FOLDER}
    actions = [Action(f"d/{number}", Side.REMOTE, FILE, None) for number in range(count)]
    return len(unexpected_deletions([*actions, Action("d", Side.REMOTE, FOLDER, None)], ancestor, observed))


@pytest.mark.parametrize(
    ("count", "of", "stopped"),
    [(20, 20, 0), (21, 21, 21), (21, 84, 0), (21, 83, 21), (250, 1000, 0), (251, 1000, 251), (0, 0, 0)],
)
def test_more_than_twenty_files_and_a_quarter_of_all_are_not_believed(count: int, of: int, stopped: int) -> None:
    assert deletions(count, of) == stopped


def test_what_was_seen_happening_is_believed() -> None:
    assert deletions(50, 50, observed=("d",)) == 0
    assert deletions(50, 50, observed=tuple(f"d/{number}" for number in range(40))) == 0
    assert deletions(50, 50, observed=("dd", "e/d")) == 50


def test_files_that_only_changed_their_names_are_not_missed() -> None:
    old = {f"d/{number}": Entry("file", 1, False, f"content {number}", "", 0) for number in range(50)}
    moved = [Action(f"e/{path}", Side.REMOTE, None, entry) for path, entry in old.items()]
    gone = [Action(path, Side.REMOTE, entry, None) for path, entry in old.items()]
    assert unexpected_deletions([*moved, *gone], old, ()) == ()
    assert len(unexpected_deletions([*moved[:10], *gone], old, ())) == 40
    # One file that arrives cannot stand for many of the same content, nor can an edit of one that was there.
    same = [Action(f"d/{number}", Side.REMOTE, FILE, None) for number in range(50)]
    assert len(unexpected_deletions([Action("new", Side.REMOTE, None, FILE), *same], old, ())) == 49
    assert len(unexpected_deletions([Action("edited", Side.REMOTE, FOLDER, FILE), *same], old, ())) == 50


def test_a_side_with_several_names_does_not_become_empty_unasked() -> None:
    assert was_emptied(["a", "b"], [])
    assert not was_emptied(["a"], [])
    assert not was_emptied(["a", "b"], ["c"])


@pytest.mark.parametrize(
    ("path", "target", "leaves"),
    [
        ("l", "f", False), ("l", "d/f", False), ("d/l", "../f", False), ("d/e/l", "../../f", False),
        ("l", "./f", False),
        ("l", "missing", False), ("l", "..", True), ("d/l", "../..", True), ("l", "d/../../f", True),
        ("l", "/etc/x", True), ("l", "C:/x", True), ("l", "a\\b", True), ("d/l", "..", False), ("l", "", True),
    ],
)  # fmt: skip
def test_only_links_that_stay_inside_travel(path: str, target: str, leaves: bool) -> None:
    assert leaves_the_folder(path, target) is leaves


def test_a_large_folder_at_the_top_that_is_gone_as_a_whole_is_not_believed_either() -> None:
    ancestor = {f"data/{number}": FILE for number in range(101)} | {f"src/{number}": FILE for number in range(900)}
    gone = [Action(path, Side.REMOTE, FILE, None) for path in ancestor if path.startswith("data/")]
    assert len(unexpected_deletions(gone, ancestor, ())) == 101
    assert unexpected_deletions(gone, ancestor, ("data",)) == (), "it was seen happening"
    assert unexpected_deletions(gone[1:], ancestor, ()) == (), "something of it is left: a user who tidies up"
