"""A folder that vanished, was emptied, replaced or came back fresh halts the sync instead of emptying the other."""

from __future__ import annotations

import os
import shutil

import pytest

from devpod_rp.sync.status import SyncHalted
from tests.sync.conftest import Pair

TREE = {f"f{number}.txt": str(number) for number in range(5)} | {"d/g.txt": "g"}


def halted(pair: Pair, *paths: str, reconnect: bool = False) -> str:
    with pytest.raises(SyncHalted) as halt:
        pair.connect() if reconnect else pair.sync(*paths)
    assert pair.session.status().state == "halted"
    assert halt.value.hint
    return halt.value.reason


@pytest.mark.parametrize("how", ["watched", "scanned", "reconnecting"])
def test_a_local_folder_that_is_gone_deletes_nothing_and_goes_on_when_it_is_back(pair: Pair, how: str) -> None:
    pair.both(TREE).synced()
    before = pair.pod.files()
    os.rename(pair.local.root, pair.tmp_path / "unmounted")
    assert halted(pair, *(list(TREE) if how == "watched" else []), reconnect=how == "reconnecting") == "local-missing"
    assert pair.pod.files() == before
    os.rename(pair.tmp_path / "unmounted", pair.local.root)
    pair.sync()
    assert pair.session.status().state == "watching"
    assert pair.pod.files() == before


@pytest.mark.parametrize("how", ["watched", "scanned", "reconnecting"])
def test_a_local_folder_that_was_replaced_deletes_nothing(pair: Pair, how: str) -> None:
    pair.both(TREE).synced()
    before = pair.pod.files()
    os.rename(pair.local.root, pair.tmp_path / "other")
    pair.local.write("only.txt", "a mount point's own file")
    assert halted(pair, *(list(TREE) if how == "watched" else []), reconnect=how == "reconnecting") == "local-replaced"
    assert pair.pod.files() == before
    pair.session.accept()
    pair.sync()
    assert pair.pod.files() == {**before, "only.txt": "a mount point's own file"}, "a union: nothing is deleted"
    assert pair.session.status().state == "watching"


@pytest.mark.parametrize("how", ["watched", "scanned"])
def test_a_local_folder_that_was_emptied_deletes_nothing(pair: Pair, how: str) -> None:
    pair.both(TREE).synced()
    before = pair.pod.files()
    for path in pair.local.root.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert halted(pair, *([*TREE, "d"] if how == "watched" else [])) == "local-emptied"
    assert pair.pod.files() == before


def test_a_pod_folder_that_is_gone_halts_on_the_spot_and_at_the_next_connection(pair: Pair) -> None:
    pair.both(TREE).synced()
    shutil.rmtree(pair.pod.root)
    pair.local.write("f1.txt", "edited")
    assert halted(pair, "f1.txt") == "remote-replaced"
    assert halted(pair) == "remote-replaced"
    assert halted(pair, reconnect=True) == "remote-missing"
    pair.session.accept()
    pair.connect()
    pair.sync()
    assert pair.pod.files() == pair.local.files()


def test_a_yes_given_before_the_next_connection_holds_for_what_that_finds(pair: Pair) -> None:
    pair.both(TREE).synced()
    shutil.rmtree(pair.pod.root)
    assert halted(pair) == "remote-replaced"
    pair.session.accept()
    pair.connect()  # which by itself would say remote-missing
    pair.sync()
    assert pair.session.status().state == "watching"
    assert pair.pod.files() == pair.local.files()


def test_a_fresh_image_with_a_few_files_is_not_read_as_deletion(pair: Pair) -> None:
    """mutagen#275"""
    pair.both(TREE).synced()
    pair.disconnect()
    shutil.rmtree(pair.volume)
    for number in range(3):
        pair.pod.write(f"image{number}.txt", "from the image")
    assert halted(pair, reconnect=True) == "remote-fresh"
    assert len(pair.pod.files()) == 3
    pair.connect(accept_fresh_remote=True)
    pair.sync()
    assert set(pair.pod.files()) == {*pair.local.files(), "image0.txt", "image1.txt", "image2.txt"}
    assert pair.session.status().state == "watching"


def test_a_pod_folder_replaced_by_another_on_the_same_volume_halts(pair: Pair) -> None:
    pair.both(TREE).synced()
    os.rename(pair.pod.root, pair.volume / "moved")
    pair.pod.write("x.txt", "another project")
    assert halted(pair) == "remote-replaced"
    assert halted(pair, reconnect=True) == "remote-replaced"
    pair.session.accept()
    pair.connect()
    pair.sync()
    assert set(pair.pod.files()) == {*pair.local.files(), "x.txt"}


def test_a_pod_folder_that_was_emptied_halts(pair: Pair) -> None:
    pair.both(TREE).synced()
    for path in pair.pod.root.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert halted(pair) == "remote-emptied"
    assert halted(pair, reconnect=True) == "remote-emptied"
    pair.session.accept()
    pair.connect()
    pair.sync()
    assert pair.pod.files() == pair.local.files()


def test_a_save_here_does_not_end_the_halt_of_an_emptied_pod_folder(pair: Pair) -> None:
    pair.both(TREE).synced()
    for path in pair.pod.root.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert halted(pair) == "remote-emptied"
    pair.local.write("f1.txt", "edited")
    assert halted(pair, "f1.txt") == "remote-emptied"
    assert pair.pod.files() == {}
    pair.session.accept()
    pair.sync("f1.txt")
    assert pair.pod.files() == pair.local.files()


def test_a_pod_folder_replaced_by_a_link_is_not_followed(pair: Pair) -> None:
    pair.both(TREE).synced()
    os.rename(pair.pod.root, pair.tmp_path / "elsewhere")
    os.symlink(pair.tmp_path / "elsewhere", pair.pod.root)
    pair.local.write("f1.txt", "edited")
    assert halted(pair, "f1.txt") == "remote-replaced"
    assert (pair.tmp_path / "elsewhere/f1.txt").read_text() == "1"


def test_the_same_volume_on_a_new_pod_needs_no_new_upload(pair: Pair) -> None:
    pair.both(TREE).synced()
    pair.restart()
    assert pair.sync().uploaded_files == 0


def test_a_lost_journal_deletes_nothing(pair: Pair) -> None:
    pair.both(TREE).synced()
    pair.session.release()  # as an agent does that is not killed: without its journal this is another machine
    pair.disconnect()
    pair.session.close()
    shutil.rmtree(pair.tmp_path / "state")
    pair.local.delete("f1.txt")
    pair.pod.write("pod.txt", "theirs")
    pair.session = pair.new_session()
    result = pair.sync()
    assert (result.uploaded_files, result.deleted, result.conflicts) == (0, 0, ())
    assert pair.pod.read("f1.txt") == "1"


def test_many_unwatched_deletions_wait_for_a_yes(pair: Pair) -> None:
    pair.both({f"data/{number}": str(number) for number in range(60)}).synced()
    for number in range(30):
        pair.local.delete(f"data/{number}")
    pair.restart()
    assert halted(pair) == "mass-deletion"
    assert len(pair.pod.files()) == 61
    assert halted(pair) == "mass-deletion", "it stays halted until somebody says yes"
    pair.session.accept()
    assert pair.sync().deleted == 30
    assert pair.session.status().state == "watching"


def test_many_watched_deletions_are_meant(pair: Pair) -> None:
    pair.both({f"data/{number}": str(number) for number in range(60)} | {"keep": "k", "keep2": "k"}).synced()
    shutil.rmtree(pair.local.root / "data")
    assert pair.sync("data", *[f"data/{number}" for number in range(60)]).deleted == 61
    assert pair.session.status().state == "watching"


def test_files_that_come_back_end_the_halt(pair: Pair) -> None:
    pair.both({f"data/{number}": str(number) for number in range(60)}).synced()
    os.rename(pair.local.root / "data", pair.tmp_path / "data")
    pair.local.write("one.txt", "1")
    assert halted(pair) == "mass-deletion"
    os.rename(pair.tmp_path / "data", pair.local.root / "data")
    pair.sync()
    assert pair.session.status().state == "watching"
    assert pair.pod.files() == pair.local.files()
