"""Two-way-safe between two real folders: what either side does reaches the other, and nothing is ever overwritten."""

from __future__ import annotations

import os
import stat

import pytest

from devpod_rp.sync.status import SyncHalted
from tests.sync.conftest import Pair

TREE = {"train.py": "print(1)", "src/model.py": "class M: ...", "src/deep/er/x.txt": "x", "empty.txt": ""}


@pytest.mark.parametrize("how", ["watched", "scanned"])
def test_edits_creations_and_deletions_on_the_pod_come_here(two_way: Pair, how: str) -> None:
    two_way.both(TREE).synced()
    two_way.pod.write("train.py", "print('tuned')")
    two_way.pod.write("runs/1/metrics.json", "{}")
    two_way.pod.delete("src/model.py")
    pod = ("train.py", "runs", "src/model.py") if how == "watched" else ()
    result = two_way.sync(pod=pod)
    assert result.full is (how == "scanned")
    assert two_way.local.files() == two_way.pod.files()
    assert (result.downloaded_files, result.deleted_here, result.uploaded_files) == (2, 1, 0)
    assert two_way.trash_here() == {"train.py": "print(1)", "src/model.py": "class M: ..."}
    assert two_way.litter() == []


@pytest.mark.parametrize("how", ["watched", "scanned"])
def test_changes_of_both_sides_cross(two_way: Pair, how: str) -> None:
    two_way.both(TREE).synced()
    two_way.local.write("train.py", "from here")
    two_way.pod.write("src/model.py", "from the pod")
    two_way.sync(*(["train.py"] if how == "watched" else []), pod=("src/model.py",) if how == "watched" else ())
    assert two_way.local.files() == two_way.pod.files()
    assert two_way.pod.read("train.py") == "from here"
    assert two_way.local.read("src/model.py") == "from the pod"
    assert two_way.sync().uploaded_files == 0


@pytest.mark.parametrize("how", ["watched", "scanned"])
def test_an_edit_on_both_sides_is_a_conflict_and_touches_neither(two_way: Pair, how: str) -> None:
    two_way.both(TREE).synced()
    two_way.local.write("train.py", "here")
    two_way.pod.write("train.py", "there, and longer")
    two_way.sync(*(["train.py"] if how == "watched" else []), pod=("train.py",) if how == "watched" else ())
    assert (two_way.local.read("train.py"), two_way.pod.read("train.py")) == ("here", "there, and longer")
    assert two_way.conflicts() == ["train.py"]


def test_content_beats_deletion_whichever_side_deleted(two_way: Pair) -> None:
    two_way.both({"a": "1", "b": "1", "c": "1"}).synced()
    two_way.local.delete("a")
    two_way.pod.write("a", "edited there")
    two_way.pod.delete("b")
    two_way.local.write("b", "edited here")
    two_way.sync()
    assert two_way.local.files() == two_way.pod.files() == {"a": "edited there", "b": "edited here", "c": "1"}
    assert two_way.conflicts() == []


def test_a_folder_becomes_a_file_on_the_pod_and_a_file_a_folder(two_way: Pair) -> None:
    two_way.both({**TREE, "x": "file"}).synced()
    two_way.pod.delete("src/deep/er/x.txt")
    os.rmdir(two_way.pod.root / "src/deep/er")
    os.rmdir(two_way.pod.root / "src/deep")
    two_way.pod.write("src/deep", "a file now")
    two_way.pod.delete("x")
    two_way.pod.write("x/inside.txt", "a folder now")
    two_way.sync()
    assert two_way.local.files() == two_way.pod.files()


def test_times_bits_and_links_come_as_they_are(two_way: Pair) -> None:
    two_way.both(TREE).synced()
    two_way.pod.write("run.sh", "#!")
    os.chmod(two_way.pod.root / "run.sh", 0o755)
    os.utime(two_way.pod.root / "run.sh", ns=(10**18, 10**18))
    os.chmod(two_way.pod.root / "train.py", 0o755)
    os.symlink("train.py", two_way.pod.root / "latest")
    two_way.sync()
    here = os.stat(two_way.local.root / "run.sh")
    assert (stat.S_IMODE(here.st_mode) & 0o111, here.st_mtime_ns) == (0o111, 10**18)
    assert os.stat(two_way.local.root / "train.py").st_mode & 0o100
    assert os.readlink(two_way.local.root / "latest") == "train.py"


@pytest.mark.parametrize("size", [0, 1, 524288, 1 << 20, (1 << 20) + 1, (8 << 20) + 5])
def test_files_of_every_size_come_whole(two_way: Pair, size: int) -> None:
    content = os.urandom(size)
    two_way.pod.write("f.bin", content)
    result = two_way.sync()
    assert (two_way.local.root / "f.bin").read_bytes() == content
    assert result.downloaded_bytes == size
    assert two_way.sync().downloaded_files == 0


def test_many_files_come_in_one_go(two_way: Pair) -> None:
    for number in range(3000):
        two_way.pod.write(f"d{number % 30}/f{number}", f"content {number}" * 20)
    assert two_way.sync().downloaded_files == 3000
    assert two_way.local.files() == two_way.pod.files()


def test_a_link_that_leaves_the_folder_is_not_taken_from_the_pod(two_way: Pair) -> None:
    two_way.both(TREE).synced()
    os.symlink("/etc/passwd", two_way.pod.root / "evil")
    two_way.sync()
    assert not os.path.lexists(two_way.local.root / "evil")
    assert "evil" in two_way.problems()


def test_what_is_ignored_on_the_pod_stays_there(two_way: Pair) -> None:
    two_way.both({**TREE, ".gitignore": "*.log\n"}).synced()
    two_way.pod.write("train.log", "long")
    two_way.pod.write(".git/hooks/post-commit", "rm -rf ~")
    two_way.sync()
    two_way.sync(pod=("train.log", ".git", ".git/hooks/post-commit"))
    assert not (two_way.local.root / "train.log").exists()
    assert not (two_way.local.root / ".git").exists()


def test_an_ignore_file_edited_on_the_pod_rules_at_once(two_way: Pair) -> None:
    two_way.both(TREE).synced()
    two_way.pod.write(".devpodignore", "data/\n")
    two_way.pod.write("data/big.bin", "x")
    two_way.sync()
    two_way.local.write("data/here.bin", "y")
    two_way.sync()
    assert not (two_way.pod.root / "data/here.bin").exists()


def test_what_is_being_written_here_is_not_overwritten_by_the_pods_version(two_way: Pair) -> None:
    """The edit comes between the look and the write: the write finds another version than the planned one."""
    two_way.both({"a": "1", "b": "1"}).synced()
    two_way.pod.write("a", "there")
    plan = two_way.session.plan()
    two_way.local.write("a", "here, meanwhile")
    assert [action.path for action in plan.actions] == ["a"]
    two_way.sync(pod=("a",))
    two_way.sync()
    assert two_way.local.read("a") == "here, meanwhile"
    assert two_way.pod.read("a") == "there"
    assert two_way.conflicts() == ["a"]


@pytest.mark.parametrize("how", ["watched", "scanned"])
@pytest.mark.parametrize("left", [0, 3])
def test_a_pod_that_is_wiped_in_place_takes_nothing_from_here(two_way: Pair, how: str, left: int) -> None:
    """mutagen#275, DevSpace#326: also while the pod's own watcher names every file that goes."""
    two_way.both({f"d/{number}": str(number) for number in range(40)} | TREE).synced()
    before = two_way.local.files()
    gone = tuple(path for path in two_way.pod.files() if path != "d")
    for path in gone:
        if not (two_way.pod.root / path).is_dir():
            two_way.pod.delete(path)
    for number in range(left):
        two_way.pod.write(f"image{number}.txt", "from the image")

    def follow() -> None:
        for start in range(0, len(gone), 7):
            two_way.sync(pod=gone[start : start + 7])

    with pytest.raises(SyncHalted) as halt:
        follow() if how == "watched" else two_way.sync()
    assert halt.value.reason in ("mass-deletion", "remote-emptied")
    kept = two_way.local.files()
    lost = before.keys() - kept.keys()
    assert len(lost) <= 20, "what went before the brake is a trickle, and it lies in the trash"
    assert lost <= two_way.trash_here().keys()
    if how == "scanned":
        assert not lost


def test_many_deletions_on_the_pod_that_are_meant_follow_after_a_yes(two_way: Pair) -> None:
    two_way.both({f"d/{number}": str(number) for number in range(60)} | TREE).synced()
    for number in range(60):
        two_way.pod.delete(f"d/{number}")
    with pytest.raises(SyncHalted, match="not deleted here"):
        two_way.sync()
    two_way.session.accept()
    assert two_way.sync().deleted_here == 60
    assert two_way.local.files() == two_way.pod.files()
