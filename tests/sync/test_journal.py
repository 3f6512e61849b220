"""The journal gives back what it was told, byte by byte, after any end of the process."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from devpod_rp.agent.files.entries import Entry
from devpod_rp.agent.files.stamps import Stamp
from devpod_rp.sync.journal import Journal
from devpod_rp.sync.trees import Trees

ENTRY = Entry("file", 5, True, "ab" * 16, "", 123456789)
STAMP = Stamp.made(2**64 - 1, 5, 123456789, 2, 0o100755)


def agreed(journal: Journal, trees: Trees, changes: dict[str, Entry | None]) -> None:
    for path, entry in changes.items():
        if entry is None:
            trees.ancestor.drop(path)
        else:
            trees.ancestor.put(path, entry)
    journal.agree(trees, changes.keys())


def test_it_remembers_across_processes(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    trees = journal.trees()
    link = Entry("symlink", 0, False, "", "bad\udcff", 7)
    agreed(journal, trees, {"f": ENTRY, "l": link, "d": Entry("dir", 0, False, "", "", 0)})
    agreed(journal, trees, {"d": None})
    journal.put(token="t", counts={"local": 3})
    journal.close()
    again = Journal(tmp_path)
    assert again.trees().ancestor == {"f": ENTRY, "l": link}
    assert (again.get("token"), again.get("counts"), again.get("other")) == ("t", {"local": 3}, None)
    again.close()


def test_names_that_are_no_text_survive(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    names = {"two\nlines": ENTRY, "bad\udcff": ENTRY, "\u00e9": ENTRY, "e\u0301": ENTRY}
    agreed(journal, journal.trees(), dict(names))
    assert journal.trees().ancestor == names
    journal.close()


def test_what_was_seen_is_saved_by_side_and_only_where_it_changed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    trees = journal.trees()
    trees.here.put("f", ENTRY, STAMP)
    trees.here.put("g", ENTRY, STAMP)
    trees.here.spell()
    journal.save(trees)
    trees.here.drop("g")
    trees.here.spell()
    journal.save(trees)
    assert (trees.unsaved, trees.here.unsaved_words) == (set(), set())
    again = journal.trees()
    assert (dict(again.here), dict(again.there)) == ({"f": ENTRY}, {})
    assert again.here.stamp("f") == STAMP
    assert again.here.words == trees.here.words != {}
    journal.close()


def test_a_journal_whose_sides_part_forgets_what_was_agreed_but_not_what_was_hashed_here(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    trees = journal.trees()
    agreed(journal, trees, {"f": ENTRY})
    trees.here.put("f", ENTRY, STAMP)
    journal.save(trees)
    journal.send({"f": ENTRY})
    trees.part()
    journal.void(trees)
    again = journal.trees()
    assert (dict(again.ancestor), journal.sent()) == ({}, {})
    assert again.here.recall("f") == (STAMP, ENTRY.digest)
    journal.close()


def test_one_of_an_earlier_version_counts_as_none(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    agreed(journal, journal.trees(), {"f": ENTRY})
    journal.put(version=3)
    journal.close()
    again = Journal(tmp_path)
    assert dict(again.trees().ancestor) == {}
    again.close()


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state")
    assert stat.S_IMODE(os.stat(tmp_path / "state/sync.sqlite3").st_mode) == 0o600
    journal.close()


def test_a_damaged_journal_is_set_aside_and_nothing_is_deleted_because_of_it(tmp_path: Path) -> None:
    (tmp_path / "sync.sqlite3").write_bytes(b"this is no database" * 100)
    journal = Journal(tmp_path)
    assert dict(journal.trees().ancestor) == {}
    assert (tmp_path / "sync.sqlite3.damaged").read_bytes().startswith(b"this is no database")
    journal.close()


def test_what_was_on_its_way_is_known_until_it_is_answered(tmp_path: Path) -> None:
    newer = ENTRY._replace(digest="cd" * 16)
    journal = Journal(tmp_path)
    journal.send({"f": ENTRY, "bad\udcff": ENTRY})
    journal.send({"f": newer})
    trees = journal.trees()
    agreed(journal, trees, {"bad\udcff": ENTRY})
    journal.close()
    again = Journal(tmp_path)
    assert again.sent() == {"f": [ENTRY, newer]}
    agreed(again, again.trees(), {"f": newer})
    assert again.sent() == {}
    again.close()
    last = Journal(tmp_path)
    assert last.sent() == {}
    last.close()
