"""What a user decides: whose version stands, what to fetch, what to bring back, and why things are as they are."""

from __future__ import annotations

import os
from datetime import datetime

import pytest

from devpod_rp.errors import UsageError
from devpod_rp.sync import transfer
from devpod_rp.sync.choices import Moment
from tests.sync.conftest import Pair

TREE = {"train.py": "print(1)", "src/model.py": "class M: ..."}


@pytest.fixture
def conflict(tmp_path: object, request: pytest.FixtureRequest) -> Pair:
    pair: Pair = request.getfixturevalue(request.param)
    pair.both(TREE).synced()
    pair.local.write("train.py", "here")
    pair.pod.write("train.py", "there, longer")
    os.utime(pair.pod.root / "train.py", (1_780_000_000, 1_780_000_000))
    pair.sync()
    assert pair.conflicts() == ["train.py"]
    return pair


both_modes = pytest.mark.parametrize("conflict", ["pair", "two_way"], indirect=True)


@both_modes
def test_a_conflict_tells_both_versions(conflict: Pair) -> None:
    (found,) = conflict.session.status().as_json()["conflicts"]
    assert found["local"]["size"] == 4
    assert found["pod"] == {"kind": "file", "size": 13, "modified": "2026-05-28T20:26:40+00:00"}


@both_modes
def test_keeping_the_local_version_replaces_the_pods_which_goes_to_its_trash(conflict: Pair) -> None:
    conflict.session.resolve("train.py", "local")
    assert conflict.pod.read("train.py") == conflict.local.read("train.py") == "here"
    assert conflict.trash()["train.py"] == "there, longer"
    assert conflict.conflicts() == []


@both_modes
def test_keeping_the_pods_version_replaces_the_local_which_goes_to_the_trash_here(conflict: Pair) -> None:
    conflict.session.resolve("train.py", "pod")
    assert conflict.pod.read("train.py") == conflict.local.read("train.py") == "there, longer"
    assert conflict.trash_here()["train.py"] == "here"
    assert conflict.conflicts() == []


@both_modes
def test_keeping_both_gives_the_pods_version_a_name_that_says_so(conflict: Pair) -> None:
    written = conflict.session.resolve("train.py", "both")
    moment = datetime.fromtimestamp(1_780_000_000).strftime("%Y-%m-%d %H.%M")
    beside = f"train (conflict from pod {moment}).py"
    assert beside in written
    assert conflict.local.files() == conflict.pod.files()
    assert conflict.local.read(beside) == "there, longer"
    assert conflict.local.read("train.py") == "here"
    assert conflict.conflicts() == []


@both_modes
def test_only_conflicts_can_be_resolved(conflict: Pair) -> None:
    with pytest.raises(UsageError, match="no conflict at src"):
        conflict.session.resolve("src/model.py", "local")
    with pytest.raises(UsageError, match="no choice"):
        conflict.session.resolve("train.py", "mine")


def test_a_folder_against_a_file_is_resolved_as_a_whole(two_way: Pair) -> None:
    two_way.both({"d/a": "1", "d/b": "1", "x": "x"}).synced()
    two_way.local.delete("d/a")
    two_way.local.delete("d/b")
    os.rmdir(two_way.local.root / "d")
    two_way.local.write("d", "a file here")
    two_way.pod.write("d/c", "new there")
    two_way.sync()
    assert two_way.conflicts() == ["d"]
    two_way.session.resolve("d", "pod")
    assert (
        two_way.local.files() == two_way.pod.files() == {"d": "/", "d/a": "1", "d/b": "1", "d/c": "new there", "x": "x"}
    )
    assert two_way.trash_here() == {"d": "a file here"}


def test_outputs_are_pulled_in_one_way_mode(pair: Pair) -> None:
    pair.both(TREE).synced()
    pair.pod.write("outputs/model.bin", os.urandom(2 << 20))
    pair.pod.write("outputs/log.txt", "lines")
    pair.pod.write("train.py", "tuned")
    pair.sync()
    assert pair.session.pull(["outputs"]) == ["outputs/log.txt", "outputs/model.bin"]
    assert (pair.local.root / "outputs/model.bin").read_bytes() == (pair.pod.root / "outputs/model.bin").read_bytes()
    assert pair.local.read("train.py") == "print(1)"
    assert pair.session.pull() == ["train.py"]
    assert pair.local.files() == pair.pod.files()
    assert pair.trash_here() == {"train.py": "print(1)"}
    with pytest.raises(UsageError, match="nothing new"):
        pair.session.pull(["outputs"])


def test_a_pull_brings_no_link_out_of_the_folder(pair: Pair) -> None:
    pair.both(TREE).synced()
    os.symlink("/etc/passwd", pair.pod.root / "evil")
    pair.sync()
    assert pair.session.pull() == []
    assert not os.path.lexists(pair.local.root / "evil")


def test_undo_brings_back_what_the_sync_replaced_and_a_second_undo_takes_it_back(pair: Pair) -> None:
    pair.both(TREE).synced()
    pair.local.write("train.py", "a mistake")
    pair.sync()
    assert pair.session.undo("train.py") == ["train.py"]
    assert pair.local.read("train.py") == pair.pod.read("train.py") == "print(1)"
    pair.session.undo("train.py")
    assert pair.local.read("train.py") == pair.pod.read("train.py") == "a mistake"


def test_undo_brings_back_a_deleted_folder_on_both_sides(two_way: Pair) -> None:
    two_way.both({"d/a": "1", "d/e/b": "2", "x": "x"}).synced()
    for path in ("d/a", "d/e/b"):
        two_way.pod.delete(path)
    os.rmdir(two_way.pod.root / "d/e")
    os.rmdir(two_way.pod.root / "d")
    two_way.sync()
    assert two_way.local.files() == {"x": "x"}
    assert two_way.session.undo("d") == ["d/a", "d/e/b"]
    assert two_way.local.files() == two_way.pod.files() == {"d": "/", "d/a": "1", "d/e": "/", "d/e/b": "2", "x": "x"}


def test_undo_without_a_path_takes_back_the_last_moment(pair: Pair) -> None:
    pair.both({**TREE, "other": "o"}).synced()
    pair.local.write("other", "o2")
    pair.sync()
    pair.local.write("train.py", "t2")
    pair.local.write("src/model.py", "m2")
    pair.sync()
    assert pair.session.undo() == ["src/model.py", "train.py"]
    assert pair.pod.files() == {"src": "/", **TREE, "other": "o2"}


@pytest.mark.parametrize("what", ["edited", "deleted"])
def test_undo_takes_back_all_of_a_storm_and_a_second_undo_all_of_the_first(
    pair: Pair, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "BATCH_ITEMS", 8)
    before = {f"d/{number}": f"the {number}th" for number in range(40)}
    pair.both(before).synced()
    for path in before:
        if what == "edited":
            pair.local.write(path, "a mistake")
        else:
            pair.local.delete(path)
    after = pair.local.files()
    pair.session.synchronise(frozenset(before))
    assert pair.pod.files() == after
    assert pair.session.undo() == sorted(before)
    assert pair.pod.files() == pair.local.files() == {"d": "/", **before}
    if what == "edited":
        assert pair.session.undo() == sorted(before)
        assert pair.pod.files() == pair.local.files() == after


def test_what_went_earlier_is_listed_and_comes_back(pair: Pair) -> None:
    pair.both({**TREE, "other": "o"}).synced()
    for content in ("second", "third, longer"):
        pair.local.write("train.py", content)
        pair.local.write("other", content)
        pair.sync()
    newest, first = pair.session.trash()
    assert [(each.side, each.paths) for each in (newest, first)] == [("pod", ("other", "train.py"))] * 2
    assert (newest.size_bytes, first.size_bytes) == (len("second") * 2, len("print(1)") + 1)
    assert newest.as_json()["time"] > first.as_json()["time"]
    assert [each.paths for each in pair.session.trash("train.py")] == [("train.py",)] * 2

    assert pair.session.undo("train.py", at=first.name) == ["train.py"]
    assert pair.local.read("train.py") == pair.pod.read("train.py") == "print(1)"
    assert pair.pod.read("other") == "third, longer"
    with pytest.raises(UsageError, match=r"nothing of other from 2001"):
        pair.session.undo("other", at="2001")


def test_a_moment_that_is_no_time_has_none() -> None:
    assert Moment("../etc", "pod", ("x",), 1).as_json()["time"] is None


def test_there_is_nothing_to_undo_at_first(pair: Pair) -> None:
    pair.both(TREE).synced()
    with pytest.raises(UsageError, match="holds nothing"):
        pair.session.undo("train.py")


def test_why_names_the_rule(pair: Pair) -> None:
    pair.both({**TREE, ".gitignore": "*.log\n", "x.log": ""}).sync()
    pair.pod.write("outputs.bin", "o")
    pair.local.write("train.py", "here")
    pair.pod.write("train.py", "there!")
    os.mkfifo(pair.local.root / "pipe")
    pair.sync()
    assert pair.session.why("x.log").rule == "ignored: *.log (.gitignore:1)"
    assert pair.session.why("src/model.py").rule == "both sides equal"
    assert "only the pod changed" in pair.session.why("outputs.bin").rule
    assert "changed on both sides" in pair.session.why("train.py").rule
    assert "named pipe" in pair.session.why("pipe").rule
    assert pair.session.why("nowhere").rule == "absent"
    pair.disconnect()
    assert "not connected" in pair.session.why("src/model.py").outcome
