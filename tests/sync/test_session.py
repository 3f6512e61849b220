"""One-way-safe synchronisation between two real folders: the promises, one by one."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from devpod_rp.errors import ConfigurationError, SyncError
from devpod_rp.sync.session import Session
from tests.sync.conftest import Pair

TREE = {"train.py": "print(1)", "src/model.py": "class M: ...", "src/deep/er/x.txt": "x", "empty.txt": ""}


def test_the_first_synchronisation_makes_the_pod_equal(pair: Pair) -> None:
    pair.both(TREE)
    (pair.local.root / "src/empty").mkdir()
    result = pair.sync()
    assert pair.pod.files() == pair.local.files()
    assert (result.uploaded_files, result.deferred) == (4, frozenset())
    status = pair.session.status()
    assert (status.state, status.local_files, status.remote_files, status.pending) == ("watching", 4, 4, 0)
    assert status.last_synced_at is not None


def test_a_second_synchronisation_has_nothing_to_do(pair: Pair) -> None:
    pair.both(TREE).synced()
    assert pair.sync().uploaded_files == 0
    pair.restart()
    result = pair.sync()
    assert (result.uploaded_files, result.deleted) == (0, 0)


@pytest.mark.parametrize("how", ["watched", "scanned"])
def test_edits_creations_and_deletions_follow(pair: Pair, how: str) -> None:
    pair.both(TREE).synced()
    pair.local.write("train.py", "print(2)")
    pair.local.write("new/folder/n.py", "n")
    pair.local.delete("src/model.py")
    paths = ["train.py", "new", "src/model.py"] if how == "watched" else []
    result = pair.sync(*paths)
    assert result.full is (how == "scanned")
    assert pair.pod.files() == pair.local.files()
    assert pair.trash() == {"train.py": "print(1)", "src/model.py": "class M: ..."}


@pytest.mark.parametrize("how", ["watched", "scanned"])
def test_a_folder_is_deleted_renamed_and_becomes_a_file(pair: Pair, how: str) -> None:
    pair.both({**TREE, "keep/me.txt": "k"}).synced()
    os.rename(pair.local.root / "src", pair.local.root / "lib")
    pair.sync(*(["src", "lib"] if how == "watched" else []))
    assert pair.pod.files() == pair.local.files()
    (pair.local.root / "keep/me.txt").unlink()
    (pair.local.root / "keep").rmdir()
    pair.local.write("keep", "now a file")
    pair.sync(*(["keep"] if how == "watched" else []))
    assert pair.pod.files() == pair.local.files()
    pair.local.delete("keep")
    pair.local.write("keep/again.txt", "a folder again")
    pair.sync(*(["keep"] if how == "watched" else []))
    assert pair.pod.files() == pair.local.files()
    assert pair.conflicts() == []


def test_what_the_pod_made_or_changed_or_deleted_is_left_alone(pair: Pair) -> None:
    pair.both(TREE).synced()
    pair.pod.write("outputs/model.bin", "weights")
    pair.pod.write("train.py", "print('tuned on the pod')")
    pair.pod.delete("empty.txt")
    pair.sync()
    assert pair.pod.read("outputs/model.bin") == "weights"
    assert pair.pod.read("train.py") == "print('tuned on the pod')"
    assert not (pair.pod.root / "empty.txt").exists()
    assert pair.local.read("train.py") == "print(1)"
    status = pair.session.status()
    assert (status.conflicts, status.pod_only) == ((), 4)


@pytest.mark.parametrize("how", ["watched", "scanned"])
def test_an_edit_on_both_sides_is_a_conflict_and_loses_neither(pair: Pair, how: str) -> None:
    pair.both(TREE).synced()
    pair.pod.write("train.py", "print('pod')!")
    pair.local.write("train.py", "print('here')")
    pair.sync(*(["train.py"] if how == "watched" else []))
    assert pair.pod.read("train.py") == "print('pod')!"
    assert pair.local.read("train.py") == "print('here')"
    assert pair.conflicts() == ["train.py"]
    pair.restart()
    assert pair.conflicts() == ["train.py"], "a conflict is remembered"
    pair.local.write("train.py", "print('pod')!")
    pair.sync()
    assert pair.conflicts() == [], "the same edit on both sides is none"


def test_an_edit_on_the_pod_survives_a_deletion_here(pair: Pair) -> None:
    pair.both({"notes.md": "v1", "other": "o"}).synced()
    pair.pod.write("notes.md", "v2")
    pair.local.delete("notes.md")
    pair.sync("notes.md")
    assert pair.pod.read("notes.md") == "v2"
    assert pair.conflicts() == ["notes.md"]


def test_a_deletion_on_the_pod_does_not_stop_an_edit_here(pair: Pair) -> None:
    pair.both({"notes.md": "v1", "other": "o"}).synced()
    pair.pod.delete("notes.md")
    pair.local.write("notes.md", "v2")
    pair.sync()
    assert pair.pod.read("notes.md") == "v2"


def test_a_deleted_folder_keeps_what_the_pod_put_into_it(pair: Pair) -> None:
    pair.both({"runs/a.txt": "a", "x": "x"}).synced()
    pair.pod.write("runs/result.txt", "precious")
    pair.local.delete("runs/a.txt")
    (pair.local.root / "runs").rmdir()
    pair.sync("runs/a.txt", "runs")
    assert pair.pod.files() == {"x": "x", "runs": "/", "runs/result.txt": "precious"}


def test_equal_files_on_both_sides_merge_at_the_first_meeting_and_different_ones_conflict(pair: Pair) -> None:
    pair.both({"same.txt": "s", "differs.txt": "here"})
    pair.pod.write("same.txt", "s")
    pair.pod.write("differs.txt", "there")
    result = pair.sync()
    assert result.uploaded_files == 0
    assert pair.conflicts() == ["differs.txt"]
    assert pair.pod.read("differs.txt") == "there"


def test_executable_bits_times_and_links_travel(pair: Pair) -> None:
    pair.both({"run.sh": "#!", "data/real.txt": "r"})
    os.chmod(pair.local.root / "run.sh", 0o755)
    os.utime(pair.local.root / "run.sh", ns=(10**18, 10**18))
    os.symlink("real.txt", pair.local.root / "data/link")
    os.symlink("../later/comes.txt", pair.local.root / "data/dangling")
    pair.sync()
    there = os.stat(pair.pod.root / "run.sh")
    assert (there.st_mode & 0o111, there.st_mtime_ns) == (0o111, 10**18)
    assert os.readlink(pair.pod.root / "data/link") == "real.txt"
    assert os.readlink(pair.pod.root / "data/dangling") == "../later/comes.txt"
    os.chmod(pair.local.root / "run.sh", 0o644)
    result = pair.sync("run.sh")
    assert os.stat(pair.pod.root / "run.sh").st_mode & 0o111 == 0
    assert result.uploaded_bytes == 2


def test_what_cannot_travel_is_named(pair: Pair) -> None:
    pair.both({"ok.txt": "ok"})
    os.mkfifo(pair.local.root / "pipe")
    os.symlink("/etc/hostname", pair.local.root / "absolute")
    os.symlink("../../outside", pair.local.root / "escape")
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(pair.local.root)
        server.bind("sock")
        pair.sync()
    assert pair.pod.files() == {"ok.txt": "ok"}
    assert set(pair.problems()) == {"pipe", "sock", "absolute", "escape"}
    assert "named pipe" in pair.problems()["pipe"]


def test_hard_links_become_two_files(pair: Pair) -> None:
    pair.both({"one.txt": "1"})
    os.link(pair.local.root / "one.txt", pair.local.root / "two.txt")
    pair.synced()
    assert os.stat(pair.pod.root / "one.txt").st_ino != os.stat(pair.pod.root / "two.txt").st_ino
    assert "one of 2 names of a file (hard links), on the pod a file of its own" in pair.session.why("two.txt").outcome
    os.unlink(pair.local.root / "one.txt")
    assert "hard links" not in pair.session.why("two.txt").outcome


@pytest.mark.parametrize(
    "size", [0, 1, 65536, 262143, 262144, 524287, 524288, 524289, 1 << 20, (1 << 20) + 1, 5_000_001]
)
def test_files_of_every_size_arrive_whole(pair: Pair, size: int) -> None:
    content = os.urandom(size)
    pair.local.write("f.bin", content)
    result = pair.sync()
    assert (pair.pod.root / "f.bin").read_bytes() == content
    assert result.uploaded_bytes == size
    assert pair.litter() == []


def test_names_of_every_kind_arrive(pair: Pair) -> None:
    names = [
        "two\nlines",
        "-rf",
        " lead",
        "$(x)",
        '"quoted"',
        "back\\slash",
        "bad\udcff",
        "\u00e9",
        "e\u0301",
        "n" * 255,
    ]
    for name in names:
        pair.local.write(f"d {name}"[:255] if len(name) < 255 else "d", "")
        pair.local.write(f"sub/{name}", name.encode("utf-8", "surrogateescape"))
    pair.synced()
    pair.restart()
    assert pair.sync().uploaded_files == 0, "the journal remembers them byte by byte"


def test_ignored_files_stay_here_and_there(pair: Pair) -> None:
    pair.both(
        {"a.py": "a", ".gitignore": "*.log\n", "x.log": "l", "node_modules/m/i.js": "m", "src/__pycache__/c.pyc": "c"}
    )
    pair.pod.write("pod.log", "theirs")
    pair.sync()
    assert set(pair.pod.files()) == {"a.py", ".gitignore", "pod.log", "src"}
    assert pair.session.explain("x.log").source == ".gitignore:1"


@pytest.mark.parametrize("how", ["watched", "scanned"])
def test_newly_ignored_files_are_not_deleted_and_come_back_when_unignored(pair: Pair, how: str) -> None:
    pair.both({"a.py": "a", "data/big.csv": "1,2"}).synced()
    pair.local.write(".gitignore", "data/\n")
    pair.sync(*([".gitignore"] if how == "watched" else []))
    assert pair.pod.read("data/big.csv") == "1,2"
    pair.local.write("data/big.csv", "3,4")
    assert pair.sync("data/big.csv").uploaded_files == 0
    pair.local.write("data/big.csv", "1,2")
    pair.local.write(".gitignore", "")
    pair.sync(*([".gitignore"] if how == "watched" else []))
    assert pair.conflicts() == []
    pair.local.write("data/big.csv", "5,6")
    pair.sync("data/big.csv")
    assert pair.pod.read("data/big.csv") == "5,6"


def test_a_deleted_folder_with_ignored_files_on_the_pod_stays_and_is_named(pair: Pair) -> None:
    pair.both({"x.txt": "x", "d/a.py": "a", ".gitignore": "*.log\n"}).synced()
    pair.pod.write("d/run.log", "ignored, but somebody's")
    pair.local.delete("d/a.py")
    (pair.local.root / "d").rmdir()
    pair.sync("d/a.py", "d")
    assert pair.pod.read("d/run.log") == "ignored, but somebody's"
    assert not (pair.pod.root / "d/a.py").exists()
    assert "d" in pair.problems()


def test_a_same_size_edit_with_its_mtime_restored_is_found(pair: Pair) -> None:
    pair.both({"f.txt": "aaaa"}).synced()
    before = os.stat(pair.local.root / "f.txt")
    pair.local.write("f.txt", "bbbb")
    os.utime(pair.local.root / "f.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    pair.sync()
    assert pair.pod.read("f.txt") == "bbbb"


def test_a_same_size_edit_on_the_pod_with_its_mtime_restored_is_found(pair: Pair) -> None:
    pair.both({"f.txt": "aaaa"}).synced()
    pair.sync()
    before = os.stat(pair.pod.root / "f.txt")
    pair.pod.write("f.txt", "bbbb")
    os.utime(pair.pod.root / "f.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    pair.local.write("f.txt", "cccc")
    pair.sync()
    assert pair.pod.read("f.txt") == "bbbb"
    assert pair.conflicts() == ["f.txt"]


def test_a_folder_that_cannot_be_listed_is_not_deleted_on_the_pod(pair: Pair) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may list everything")
    pair.both({"d/f.txt": "f", "g.txt": "g"}).synced()
    os.chmod(pair.local.root / "d", 0)
    try:
        pair.sync()
        assert pair.pod.read("d/f.txt") == "f"
        assert "d" in pair.problems()
    finally:
        os.chmod(pair.local.root / "d", stat.S_IRWXU)


def test_an_unknown_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="sideways"):
        Session(local_root=tmp_path, remote_root="/workspace/x", state_dir=tmp_path / "s", mode="sideways")


def test_one_process_at_a_time(pair: Pair) -> None:
    pair.both(TREE).synced()
    second = pair.new_session()
    assert second.status().local_files == 4, "looking is allowed"
    assert pair.link is not None
    with pytest.raises(SyncError, match="Another process"):
        second.attach(pair.link)
    second.close()


def test_status_as_json_has_the_documented_keys(pair: Pair) -> None:
    pair.both(TREE).synced()
    keys = {"state", "local_files", "remote_files", "pending", "conflicts", "problems", "last_synced_at", "mode"}
    assert keys <= set(pair.session.status().as_json())
    pair.disconnect()
    assert pair.session.status().state == "disconnected"
