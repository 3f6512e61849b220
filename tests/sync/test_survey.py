"""Looking at the pod's folder: an unchanged tree is told in a word, and only where that is proof."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from devpod_rp.agent.files.entries import Entry
from devpod_rp.agent.files.finds import FRESH_NS
from devpod_rp.agent.files.stamps import Stamp
from devpod_rp.sync.remote import Destination, RemoteTree, Seen, learn_digests, survey
from devpod_rp.sync.trees import Trees
from tests.sync.conftest import Pair

LONG_AGO = time.time() - 100


@pytest.fixture
def there(pair: Pair) -> Destination:
    pair.both({"a": "1", "src/b": "2"}).synced()
    for path in ("a", "src/b"):
        os.utime(pair.pod.root / path, (LONG_AGO, LONG_AGO))
    time.sleep(2 * FRESH_NS / 1e9)  # what was touched just now is no proof of anything
    assert pair.session.destination is not None
    return pair.session.destination


def look(pair: Pair, there: Destination, tree: RemoteTree | None = None) -> RemoteTree:
    """*tree*, or a new one, as it is after a look at everything."""
    if tree is None:
        tree = RemoteTree(Trees().there)
    tree.take(told(pair, there, tree))
    return tree


def told(pair: Pair, there: Destination, before: RemoteTree) -> Seen:
    assert pair.link is not None
    return survey(pair.link, there, pair.session.rules(), None, before)


def stamped(tree: RemoteTree) -> dict[str, tuple[Entry, Stamp | None]]:
    """What it holds but for the digests, of which a look tells nothing."""
    return {path: (entry._replace(digest=""), tree.entries.stamp(path)) for path, entry in tree.entries.items()}


def test_an_unchanged_folder_is_told_in_a_word(pair: Pair, there: Destination) -> None:
    first = look(pair, there)
    assert told(pair, there, first).unchanged


@pytest.mark.parametrize("change", ["edited", "same size and times", "new", "gone", "mode", "made a folder"])
def test_whatever_changes_is_seen(pair: Pair, there: Destination, change: str) -> None:
    tree = look(pair, there)
    first = stamped(tree)
    path: Path = pair.pod.root / "a"
    if change == "edited":
        path.write_text("longer")
    elif change == "same size and times":
        path.write_text("7")
        os.utime(path, (LONG_AGO, LONG_AGO))
    elif change == "new":
        (pair.pod.root / "src/c").write_text("3")
    elif change == "mode":
        path.chmod(0o755)
    else:
        path.unlink()
        if change == "made a folder":
            path.mkdir()
    assert not told(pair, there, tree).unchanged
    assert stamped(look(pair, there, tree)) != first


def test_what_was_changed_through_us_is_looked_at_again(pair: Pair, there: Destination) -> None:
    first = look(pair, there)
    first.put("a", None)
    assert look(pair, there, first).entries.keys() == {"a", "src", "src/b"}


def test_a_file_that_was_read_in_the_moment_of_its_last_change_is_read_again(pair: Pair, there: Destination) -> None:
    assert pair.link is not None
    (pair.pod.root / "a").write_text("just now")
    tree = look(pair, there)
    learn_digests(pair.link, there, tree, ["a"])
    known = tree.entries.recall("a") is not None
    assert known == told(pair, there, tree).unchanged, "a stamp that may lie is no proof of anything"


def test_what_was_sent_a_moment_after_it_was_made_is_not_told_again(pair: Pair) -> None:
    for number in range(50):
        pair.local.write(f"d/{number}", f"the {number}th")
    time.sleep(FRESH_NS / 1e9)  # older than a tick, as all that is not sent alone
    pair.synced()
    remote = pair.session._cycles.known.remote
    assert remote is not None
    assert pair.session.destination is not None
    remote.entries.spell()
    time.sleep(2 * FRESH_NS / 1e9)
    assert told(pair, pair.session.destination, remote).unchanged


def test_after_a_restart_only_folders_that_differ_are_told(pair: Pair) -> None:
    files = {f"pkg{number % 5}/sub{number % 3}/m{number}.py": str(number) for number in range(60)}
    pair.both({**files, "top.txt": "t"})
    for path in files:
        os.utime(pair.local.root / path, (LONG_AGO, LONG_AGO))
    pair.synced()
    pair.restart()
    (pair.pod.root / "pkg1/sub1/m1.py").write_text("changed on the pod")
    (pair.pod.root / "pkg2/sub0/m12.py").unlink()
    (pair.pod.root / "outputs/run").mkdir(parents=True)
    (pair.pod.root / "outputs/run/model.bin").write_text("made on the pod")
    (pair.pod.root / "pkg3").rename(pair.pod.root / "pkg9")
    (pair.pod.root / "pkg0/sub0").rename(pair.tmp_path / "away")
    os.symlink("pkg1", pair.pod.root / "pkg0/sub0")
    pair.connect()
    there = pair.session.destination
    assert there is not None
    remembered = known_after_restart(pair)
    assert {"pkg1", "top.txt"} <= remembered.entries.keys()
    assert told(pair, there, remembered).folders.isdisjoint({"pkg4", "pkg4/sub1"})
    whole, merged = look(pair, there), look(pair, there, remembered)
    assert stamped(merged) == stamped(whole)
    assert merged.entries["pkg4/sub1/m4.py"].digest, "what did not change keeps its digest"
    assert not merged.entries["pkg1/sub1/m1.py"].digest


def test_after_a_restart_an_unchanged_pod_is_what_was_remembered(pair: Pair) -> None:
    pair.both({"a/b/c.txt": "1", "d.txt": "2"})
    for path in ("a/b/c.txt", "d.txt"):
        os.utime(pair.local.root / path, (LONG_AGO, LONG_AGO))
    pair.synced()
    pair.restart()
    pair.connect()
    assert pair.session.destination is not None
    assert told(pair, pair.session.destination, known_after_restart(pair)).unchanged
    assert pair.sync().uploaded_files == 0


def known_after_restart(pair: Pair) -> RemoteTree:
    there = pair.session._journal.trees().there
    there.spell()
    return RemoteTree(there)
