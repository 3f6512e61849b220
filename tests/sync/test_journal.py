"""The journal gives back what it was told, byte by byte, after any end of the process."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from devpod_rp.agent.files.tree import Entry, Stamp
from devpod_rp.sync.journal import Journal

ENTRY = Entry("file", 5, True, "ab" * 16, "", 123456789)


def test_it_remembers_across_processes(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.agree(
        {"f": ENTRY, "l": Entry("symlink", 0, False, "", "bad\udcff", 7), "d": Entry("dir", 0, False, "", "", 0)}
    )
    journal.agree({"d": None})
    journal.put(token="t", counts={"local": 3})
    journal.close()
    again = Journal(tmp_path)
    assert again.ancestor() == {"f": ENTRY, "l": Entry("symlink", 0, False, "", "bad\udcff", 7)}
    assert (again.get("token"), again.get("counts"), again.get("other")) == ("t", {"local": 3}, None)
    again.close()


def test_names_that_are_no_text_survive(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    names = {"two\nlines": ENTRY, "bad\udcff": ENTRY, "\u00e9": ENTRY, "e\u0301": ENTRY}
    journal.agree(names)
    assert journal.ancestor() == names
    journal.close()


def test_digests_are_saved_by_side_and_only_where_they_changed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    stamp = Stamp(2**64 - 1, 5, 1, 2, 0o100644)
    here = journal.digests("local")
    here.learn("f", stamp, "d1")
    here.learn("g", stamp, "d2")
    journal.save_digests("local", here)
    here.forget("g")
    journal.save_digests("local", here)
    assert here.unsaved == set()
    assert journal.digests("local") == {"f": (stamp, "d1")}
    assert journal.digests("remote") == {}
    journal.close()


def test_a_void_journal_forgets_what_was_agreed_but_not_what_was_hashed_here(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.agree({"f": ENTRY})
    cache = journal.digests("local")
    cache.learn("f", Stamp(1, 5, 1, 2, 3), "d")
    journal.save_digests("local", cache)
    journal.void()
    assert journal.ancestor() == {}
    assert "f" in journal.digests("local")
    journal.close()


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state")
    assert stat.S_IMODE(os.stat(tmp_path / "state/sync.sqlite3").st_mode) == 0o600
    journal.close()


def test_a_damaged_journal_is_set_aside_and_nothing_is_deleted_because_of_it(tmp_path: Path) -> None:
    (tmp_path / "sync.sqlite3").write_bytes(b"this is no database" * 100)
    journal = Journal(tmp_path)
    assert journal.ancestor() == {}
    assert (tmp_path / "sync.sqlite3.damaged").read_bytes().startswith(b"this is no database")
    journal.close()


def test_what_was_on_its_way_is_known_until_it_is_answered(tmp_path: Path) -> None:
    newer = ENTRY._replace(digest="cd" * 16)
    journal = Journal(tmp_path)
    journal.send({"f": ENTRY, "bad\udcff": ENTRY})
    journal.send({"f": newer})
    journal.agree({"bad\udcff": ENTRY})
    journal.close()
    again = Journal(tmp_path)
    assert again.sent() == {"f": [ENTRY, newer]}
    again.agree({"f": newer})
    assert again.sent() == {}
    again.close()
    last = Journal(tmp_path)
    assert last.sent() == {}
    last.close()
