"""The three-way rule: a table of named cases, then generated histories that must lose nothing and converge."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devpod_rp.agent.files.entries import Entry
from devpod_rp.sync.reconcile import Action, Mode, Plan, Side, reconcile, same

SAFE, TWO_WAY, REPLICA = Mode.ONE_WAY_SAFE, Mode.TWO_WAY_SAFE, Mode.ONE_WAY_REPLICA


def entry(text: str) -> Entry:
    """ "/" is a folder, "->x" a link to x, "x*" executable content x, anything else a file's content."""
    if text == "/":
        return Entry("dir", 0, False, "", "", 0)
    if text.startswith("->"):
        return Entry("symlink", 0, False, "", text[2:], 0)
    return Entry("file", len(text), text.endswith("*"), text.rstrip("*"), "", 0)


def tree(*paths: str, **files: str) -> dict[str, Entry]:
    """tree("d/", "d/f=v1", x="v1"): folders end in "/", files give their content after "="."""
    entries = {name: entry(text) for name, text in files.items()}
    for path in paths:
        name, _, text = path.partition("=")
        entries[name.rstrip("/")] = entry(text or "/")
    return entries


def carried_out(
    plan: Plan, local: dict[str, Entry], remote: dict[str, Entry]
) -> tuple[dict[str, Entry], dict[str, Entry]]:
    """Apply a plan in its order to two trees that obey a file system's laws."""
    sides = {Side.LOCAL: dict(local), Side.REMOTE: dict(remote)}
    for action in plan.actions:
        side = sides[action.side]
        parent = action.path.rpartition("/")[0]
        assert side.get(action.path) == action.old, f"{action}: something else is there"
        assert not parent or (parent in side and side[parent].kind == "dir"), f"{action}: no folder to put it in"
        below = [path for path in side if path.startswith(action.path + "/")]
        assert not (below and (action.new is None or action.new.kind != "dir")), f"{action}: {below} would go with it"
        if action.new is None:
            del side[action.path]
        else:
            side[action.path] = action.new
    return sides[Side.LOCAL], sides[Side.REMOTE]


def after(plan: Plan, ancestor: dict[str, Entry]) -> dict[str, Entry]:
    result = dict(ancestor)
    for path, agreed in [*plan.agreed.items(), *((action.path, action.new) for action in plan.actions)]:
        if agreed is None:
            result.pop(path, None)
        else:
            result[path] = agreed
    return result


KEEP = "unchanged"
CASES = [
    # name, ancestor, local, remote, mode, local afterwards, remote afterwards, conflicts
    ("a new file goes to the pod", tree(), tree(f="1"), tree(), SAFE, KEEP, tree(f="1"), []),
    ("an edit goes to the pod", tree(f="1"), tree(f="2"), tree(f="1"), SAFE, KEEP, tree(f="2"), []),
    ("a deletion goes to the pod", tree(f="1"), tree(), tree(f="1"), SAFE, KEEP, tree(), []),
    ("an executable bit goes to the pod", tree(f="1"), tree(f="1*"), tree(f="1"), SAFE, KEEP, tree(f="1*"), []),
    ("a link goes to the pod as text", tree(), tree(l="->f"), tree(), SAFE, KEEP, tree(l="->f"), []),
    ("the same edit on both sides is no conflict", tree(f="1"), tree(f="2"), tree(f="2"), SAFE, KEEP, KEEP, []),
    ("the same new file on both sides is no conflict", tree(), tree(f="1"), tree(f="1"), SAFE, KEEP, KEEP, []),
    ("a file only the pod made is left alone", tree(), tree(), tree(f="1"), SAFE, KEEP, KEEP, []),
    ("an edit only the pod made is left alone", tree(f="1"), tree(f="1"), tree(f="2"), SAFE, KEEP, KEEP, []),
    ("a deletion only the pod made is left alone", tree(f="1"), tree(f="1"), tree(), SAFE, KEEP, KEEP, []),
    ("edited here, deleted on the pod: content wins", tree(f="1"), tree(f="2"), tree(), SAFE, KEEP, tree(f="2"), []),
    ("deleted here, edited on the pod: kept, and said", tree(f="1"), tree(), tree(f="2"), SAFE, KEEP, KEEP, ["f"]),
    ("edited on both sides: conflict", tree(f="1"), tree(f="2"), tree(f="3"), SAFE, KEEP, KEEP, ["f"]),
    ("different at the first meeting: conflict", tree(), tree(f="2"), tree(f="3"), SAFE, KEEP, KEEP, ["f"]),
    ("bit here, content there: conflict", tree(f="1"), tree(f="1*"), tree(f="3"), SAFE, KEEP, KEEP, ["f"]),
    ("a folder is deleted with its files", tree("d/", "d/f=1"), tree(), tree("d/", "d/f=1"), SAFE, KEEP, tree(), []),
    (
        "a deleted folder keeps what the pod added", tree("d/", "d/f=1"), tree(), tree("d/", "d/f=1", "d/new=1"), SAFE,
        KEEP, tree("d/", "d/new=1"), [],
    ),
    (
        "a deleted folder keeps what the pod changed", tree("d/", "d/f=1", "d/g=1"), tree(),
        tree("d/", "d/f=2", "d/g=1"), SAFE, KEEP, tree("d/", "d/f=2"), ["d/f"],
    ),
    (
        "a file becomes a folder", tree(d="1"), tree("d/", "d/f=1"), tree(d="1"), SAFE, KEEP, tree("d/", "d/f=1"), [],
    ),
    (
        "a folder becomes a file", tree("d/", "d/e/", "d/e/f=1"), tree(d="2"), tree("d/", "d/e/", "d/e/f=1"), SAFE,
        KEEP, tree(d="2"), [],
    ),
    (
        "a folder becomes a file, but the pod added to it", tree("d/", "d/f=1"), tree(d="2"),
        tree("d/", "d/f=1", "d/new=1"), SAFE, KEEP, KEEP, ["d"],
    ),
    (
        "new content in a folder that the pod deleted brings the folder back", tree("d/", "d/f=1"),
        tree("d/", "d/f=1", "d/new=1"), tree(), SAFE, KEEP, tree("d/", "d/new=1"), [],
    ),
    (
        "new content in a folder that the pod made a file: conflict", tree("d/"), tree("d/", "d/new=1"), tree(d="1"),
        SAFE, KEEP, KEEP, ["d"],
    ),
    (
        "two ways: the pod's new file comes here", tree(), tree(), tree("d/", "d/f=1"), TWO_WAY,
        tree("d/", "d/f=1"), KEEP, [],
    ),
    ("two ways: the pod's deletion comes here", tree(f="1"), tree(f="1"), tree(), TWO_WAY, tree(), KEEP, []),
    ("two ways: the pod's edit beats a deletion", tree(f="1"), tree(), tree(f="2"), TWO_WAY, tree(f="2"), KEEP, []),
    (
        "two ways: a folder deleted there keeps what was added here", tree("d/", "d/f=1"), tree("d/", "d/f=1", "d/n=1"),
        tree(), TWO_WAY, tree("d/", "d/n=1"), tree("d/", "d/n=1"), [],
    ),
    (
        "two ways: a folder deleted here comes back with what was added there", tree("d/", "d/f=1"), tree(),
        tree("d/", "d/f=1", "d/n=1"), TWO_WAY, tree("d/", "d/n=1"), tree("d/", "d/n=1"), [],
    ),
    ("two ways: edited on both sides: conflict", tree(f="1"), tree(f="2"), tree(f="3"), TWO_WAY, KEEP, KEEP, ["f"]),
    ("replica: the pod's own files go", tree(), tree(f="1"), tree("d/", "d/g=1"), REPLICA, KEEP, tree(f="1"), []),
    ("replica: the pod's edit is undone", tree(f="1"), tree(f="1"), tree(f="2"), REPLICA, KEEP, tree(f="1"), []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("ancestor", "local", "remote", "mode", "local_after", "remote_after", "conflicts"),
    [pytest.param(*case[1:], id=case[0]) for case in CASES],
)
def test_case(ancestor, local, remote, mode, local_after, remote_after, conflicts) -> None:  # type: ignore[no-untyped-def]
    plan = reconcile(ancestor, local, remote, mode)
    local_now, remote_now = carried_out(plan, local, remote)
    assert local_now == (local if local_after is KEEP else local_after)
    assert remote_now == (remote if remote_after is KEEP else remote_after)
    assert [conflict.path for conflict in plan.conflicts] == conflicts


def test_what_could_not_be_read_is_frozen_with_everything_below() -> None:
    base = tree("d/", "d/f=1", "e/", "e/f=1")
    plan = reconcile(base, tree("e/"), base, SAFE, unknown=["d"])
    assert [action.path for action in plan.actions] == ["e/f"]


def test_a_folder_is_not_deleted_when_something_in_it_could_not_be_read() -> None:
    base = tree("d/", "d/f=1", "d/secret/", "d/secret/x=1")
    plan = reconcile(base, {}, tree("d/", "d/f=1", "d/secret/"), SAFE, unknown=["d/secret"])
    assert [action.path for action in plan.actions] == ["d/f"]


def test_creations_precede_deletions_so_that_a_rename_never_leaves_a_gap() -> None:
    plan = reconcile(tree(a="1"), tree(b="1"), tree(a="1"), SAFE)
    assert [(action.path, action.new is not None) for action in plan.actions] == [("b", True), ("a", False)]


def test_a_touched_file_is_the_same_version() -> None:
    one = entry("1")
    assert same(one, one._replace(mtime_ns=5))
    assert reconcile({"f": one}, {"f": one._replace(mtime_ns=5)}, {"f": one}, SAFE).actions == ()


# Generated histories: a shared past, then independent edits on both sides.

NAMES = ["a", "b", "a/a", "a/b", "b/a", "a/a/a", "a/a/b"]
CONTENT = st.sampled_from(["1", "2", "3", "1*", "/", "->a", None])


def _grown(base: dict[str, Entry], edits: list[tuple[str, str | None]]) -> dict[str, Entry]:
    """Apply edits as a user would: making a file removes the folder that was there, and needs its parents."""
    result = dict(base)
    for path, text in edits:
        for below in [other for other in result if other == path or other.startswith(path + "/")]:
            if text != "/" or result[below].kind != "dir":
                if text == "/" and below != path:
                    continue
                del result[below]
        if text is not None:
            parts = path.split("/")
            for cut in range(1, len(parts)):
                result["/".join(parts[:cut])] = entry("/")
            result[path] = entry(text)
    for path in [
        p for p in result if any(result.get(p[:i], entry("/")).kind != "dir" for i, c in enumerate(p) if c == "/")
    ]:
        del result[path]
    return result


EDITS = st.lists(st.tuples(st.sampled_from(NAMES), CONTENT), max_size=6)


@st.composite
def histories(draw: st.DrawFn) -> tuple[dict[str, Entry], dict[str, Entry], dict[str, Entry]]:
    base = _grown({}, draw(EDITS))
    return base, _grown(base, draw(EDITS)), _grown(base, draw(EDITS))


@settings(max_examples=500)
@given(histories(), st.sampled_from([SAFE, TWO_WAY]))
def test_no_version_that_only_one_side_had_is_ever_lost(history, mode: Mode) -> None:  # type: ignore[no-untyped-def]
    ancestor, local, remote = history
    local_now, remote_now = carried_out(reconcile(ancestor, local, remote, mode), local, remote)
    for side, before in (("local", local), ("remote", remote)):
        for path, version in before.items():
            if not same(version, ancestor.get(path)) and version.kind != "dir":
                there = same(local_now.get(path), version) or same(remote_now.get(path), version)
                assert there, f"{side} version of {path} is gone"


@settings(max_examples=300)
@given(histories(), st.sampled_from(list(Mode)))
def test_one_cycle_is_enough_and_a_second_has_nothing_to_do(history, mode: Mode) -> None:  # type: ignore[no-untyped-def]
    ancestor, local, remote = history
    first = reconcile(ancestor, local, remote, mode)
    local_now, remote_now = carried_out(first, local, remote)
    second = reconcile(after(first, ancestor), local_now, remote_now, mode)
    assert second.actions == ()
    assert second.conflicts == first.conflicts
    if mode is TWO_WAY and not first.conflicts:
        assert {p: v._replace(size=0) for p, v in local_now.items()} == {
            p: v._replace(size=0) for p, v in remote_now.items()
        }
    if mode is REPLICA:
        assert remote_now.keys() == local_now.keys()


@settings(max_examples=300)
@given(histories())
def test_one_way_never_touches_this_side_nor_what_the_pod_changed(history) -> None:  # type: ignore[no-untyped-def]
    ancestor, local, remote = history
    plan = reconcile(ancestor, local, remote, SAFE)
    for action in plan.actions:
        assert action.side is Side.REMOTE
        if action.old is not None:
            assert same(action.old, ancestor.get(action.path)), f"{action} would take a version that only the pod has"
    _, remote_now = carried_out(plan, local, remote)
    for path, version in remote.items():
        if not same(version, ancestor.get(path)):
            assert same(remote_now.get(path), version)


@settings(max_examples=200)
@given(histories(), st.sampled_from([SAFE, TWO_WAY]))
def test_a_lost_journal_deletes_nothing(history, mode: Mode) -> None:  # type: ignore[no-untyped-def]
    _, local, remote = history
    plan = reconcile({}, local, remote, mode)
    assert [action for action in plan.actions if action.new is None] == []


@settings(max_examples=200)
@given(histories(), st.sampled_from([SAFE, TWO_WAY]))
def test_looking_at_changed_paths_only_gives_the_same_plan(history, mode: Mode) -> None:  # type: ignore[no-untyped-def]
    ancestor, local, remote = history
    paths = [p for p in {*ancestor, *local, *remote} if not (local.get(p) == remote.get(p) == ancestor.get(p))]
    assert reconcile(ancestor, local, remote, mode, paths=paths) == reconcile(ancestor, local, remote, mode)


def test_actions_say_what_may_be_replaced() -> None:
    plan = reconcile(tree(f="1"), tree(f="2"), tree(f="1"), SAFE)
    assert plan.actions == (Action("f", Side.REMOTE, entry("1"), entry("2")),)
