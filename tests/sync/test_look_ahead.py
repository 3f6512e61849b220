"""The look at the folder here that is taken while the connection is being made."""

from __future__ import annotations

from tests.sync.conftest import Pair


def test_the_first_cycle_goes_by_what_was_seen_ahead(pair: Pair) -> None:
    pair.both({"a.txt": "a", "d/b.txt": "b"})
    pair.session.look_ahead()
    pair.local.write("unheard.txt", "written after the look, and nobody told")
    pair.sync()
    assert pair.pod.files() == {"a.txt": "a", "d": "/", "d/b.txt": "b"}
    pair.sync()
    assert pair.pod.files() == pair.local.files(), "the next look at everything finds the rest"


def test_what_was_heard_of_since_is_not_overlooked(pair: Pair) -> None:
    pair.both({"a.txt": "a", "gone.txt": "x"})
    pair.session.look_ahead()
    pair.local.write("a.txt", "edited")
    pair.local.delete("gone.txt")
    pair.sync("a.txt", "gone.txt")
    assert pair.pod.files() == {"a.txt": "edited"}


def test_ignore_rules_that_changed_since_count(pair: Pair) -> None:
    pair.both({"a.txt": "a", "secret.env": "s"})
    pair.session.look_ahead()
    pair.local.write(".devpodignore", "*.env\n")
    pair.sync(".devpodignore")
    assert set(pair.pod.files()) == {"a.txt", ".devpodignore"}


def test_a_file_that_changes_under_way_arrives_whole_or_later(pair: Pair) -> None:
    pair.both({"a.txt": "old"})
    pair.session.look_ahead()
    pair.local.write("a.txt", "a version nobody was told of")
    pair.sync()
    pair.sync()
    assert pair.pod.read("a.txt") == "a version nobody was told of"


def test_what_was_read_before_there_was_a_connection_is_not_read_again(pair: Pair) -> None:
    files = {f"{number}.txt": f"{number} " * 30_000 for number in range(100)}  # more than is kept of later looks
    pair.both(files)
    pair.session.look_ahead()
    for path in files:
        pair.local.delete(path)
    pair.sync()
    assert pair.pod.files() == files


def test_looking_ahead_at_a_folder_that_is_gone_is_left_to_the_cycle(pair: Pair) -> None:
    pair.both({"a.txt": "a", "b.txt": "b"}).synced()
    pair.restart()
    pair.local.root.rename(pair.tmp_path / "elsewhere")
    pair.session.look_ahead()
    assert pair.session.status().state == "disconnected"
