"""The trees, held as bytes, say what plain dictionaries of entries would say."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devpod_rp.agent.files.entries import Entry
from devpod_rp.agent.files.stamps import Stamp
from devpod_rp.sync.reconcile import same
from devpod_rp.sync.trees import RECORD_BYTES, SideTree, Trees

FOLDER = Entry("dir", 0, False, "", "", 0)
PATHS = ["a", "a/b", "a/b/c", "bad\udcff", "two\nlines"]

digests = st.sampled_from(["", "ab" * 16, "cd" * 16])
times = st.sampled_from([0, -1, 10**18, (1 << 63) - 1])
targets = st.sampled_from(["b", "\udc80"])
files = st.builds(lambda *each: Entry("file", *each[:3], "", each[3]), st.integers(0, 3), st.booleans(), digests, times)
links = st.builds(lambda target, mtime_ns: Entry("symlink", 0, False, "", target, mtime_ns), targets, times)
entries = st.one_of(files, links, st.just(FOLDER))
inodes, modes = st.sampled_from([1, 2**64 - 1]), st.sampled_from([0o100644, 0o100755])
stamps = st.builds(lambda ino, ctime_ns, mode: Stamp.made(ino, 0, 0, ctime_ns, mode), inodes, times, modes)
trees_by_name = st.sampled_from(["here", "there", "ancestor"])
steps = st.tuples(trees_by_name, st.sampled_from(PATHS), st.none() | entries, st.none() | stamps)


@dataclass
class Plain:
    """What *Trees* are about, without any cleverness."""

    here: dict[str, Entry] = field(default_factory=dict)
    there: dict[str, Entry] = field(default_factory=dict)
    ancestor: dict[str, Entry] = field(default_factory=dict)
    stamps: dict[tuple[str, str], Stamp | None] = field(default_factory=dict)


@given(st.lists(steps, max_size=30))
def test_they_say_what_was_put_into_them(history: list[tuple[str, str, Entry | None, Stamp | None]]) -> None:
    trees, plain = Trees(), Plain()
    for which, path, entry, stamp in history:
        tree = getattr(trees, which)
        if entry is None:
            tree.drop(path)
            getattr(plain, which).pop(path, None)
            plain.stamps.pop((which, path), None)
            continue
        if which == "ancestor":
            tree.put(path, entry)
        else:
            # A stamp is of the very file that the entry is of.
            known = stamp and Stamp.made(stamp.numbers()[0], entry.size, entry.mtime_ns, stamp.ctime_ns, stamp.mode)
            tree.put(path, entry, known if entry.kind == "file" else None)
            plain.stamps[which, path] = known if entry.kind == "file" else None
        getattr(plain, which)[path] = entry
    again = Trees([(path, trees.record(path) or b"") for path in PATHS if trees.record(path)], trees.targets)
    for each in (trees, again):
        check(each, plain)
    assert again.unsaved == set()
    assert trees.unsaved >= {*plain.here, *plain.there, *plain.ancestor}


def check(trees: Trees, plain: Plain) -> None:
    for which in ("here", "there", "ancestor"):
        tree, model = getattr(trees, which), getattr(plain, which)
        assert dict(tree.items()) == model
        assert (len(tree), tree.files) == (len(model), sum(entry.kind != "dir" for entry in model.values()))
        assert [path in tree for path in PATHS] == [path in model for path in PATHS]
        for path in PATHS:
            assert tree.get(path) == model.get(path)
            if isinstance(tree, SideTree):
                stamp, entry = plain.stamps.get((which, path)), model.get(path)
                assert tree.stamp(path) == stamp
                expected = (stamp, entry.digest) if entry and stamp and entry.digest else None
                assert tree.recall(path) == expected
    differing = {
        path
        for path in PATHS
        if not (
            same(plain.here.get(path), plain.there.get(path)) and same(plain.here.get(path), plain.ancestor.get(path))
        )
    }
    # A file that was not read differs from nothing that can be told, itself included.
    unread = {path for path in PATHS for tree in (plain.here, plain.there) if path in tree and not tree[path].digest}
    assert set(trees.differing()) | unread == differing | unread
    held = trees.held_there(["ab" * 16])
    assert set(held) == {"ab" * 16 for entry in plain.there.values() if entry.digest == "ab" * 16}
    assert all(plain.there[path].digest == digest for digest, path in held.items())


def test_a_record_has_the_size_that_the_memory_was_counted_with() -> None:
    trees = Trees()
    trees.here.put("f", Entry("file", 1, False, "ab" * 16, "", 0))
    assert len(trees.record("f") or b"") == RECORD_BYTES == 141
    trees.here.drop("f")
    assert trees.record("f") is None


def test_what_is_made_of_a_file_changes_nothing_of_its_stamp() -> None:
    tree = Trees().here
    entry, stamp = Entry("file", 5, True, "ab" * 16, "", 7), Stamp.made(1, 5, 7, 9, 0o100755)
    tree.put("f", entry, stamp)
    tree.revise("f", entry._replace(executable=False))
    assert (tree["f"].executable, tree.stamp("f")) == (False, stamp)


class TestWords:
    @pytest.fixture
    def tree(self) -> SideTree:
        tree = Trees().here
        tree.put("d", FOLDER)
        tree.put("d/link", Entry("symlink", 0, False, "", "f", 0))
        for path in ("d/f", "g"):
            tree.put(path, Entry("file", 5, False, "ab" * 16, "", 7), Stamp.made(1, 5, 7, 9, 0o100644))
        tree.spell()
        return tree

    def test_every_folder_of_which_all_is_known_has_one(self, tree: SideTree) -> None:
        assert tree.words.keys() == {"", "d"}
        tree.put("d/f", tree["d/f"])
        tree.spell()
        assert tree.words.keys() == {""}, "a file whose stamp may lie is not known"

    @pytest.mark.parametrize(
        ("path", "entry", "stamp"),
        [
            ("d/f", Entry("file", 5, False, "ab" * 16, "", 7), Stamp.made(1, 5, 7, 10, 0o100644)),
            ("d/new", Entry("file", 5, False, "ab" * 16, "", 7), Stamp.made(2, 5, 7, 9, 0o100644)),
            ("d/new", FOLDER, None),
            ("d/link", Entry("symlink", 0, False, "", "g", 0), None),
            ("d/f", FOLDER, None),
            ("d/f", None, None),
            ("d/link", None, None),
        ],
    )
    def test_it_is_another_one_after_any_change(
        self, tree: SideTree, path: str, entry: Entry | None, stamp: Stamp | None
    ) -> None:
        before = dict(tree.words)
        if entry is None:
            tree.drop(path)
        else:
            tree.put(path, entry, stamp)
        assert "d" not in tree.words
        tree.spell()
        assert tree.words[""] == before[""]
        assert tree.words["d"] != before["d"]

    def test_that_of_a_folder_goes_with_it(self, tree: SideTree) -> None:
        for path in ("d/f", "d/link", "d"):
            tree.drop(path)
        tree.spell()
        assert tree.words.keys() == {""}
        assert {"", "d"} <= tree.unsaved_words
