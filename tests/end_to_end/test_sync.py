"""Working on both sides through the command line: conflicts, what only the pod has, undo, and the three modes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.conftest import World, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


@pytest.fixture(scope="module")
def pod(world: World) -> World:
    world.up("--cpu", "cpu3c")
    return world


def conflict(pod: World, path: str, here: str, there: str) -> None:
    """Make *path* differ on both sides."""
    pod.run("sync", "pause")
    assert pod.ssh(f"printf '{there}' > /workspace/proj/{path}").exit_code == 0
    (pod.folder / path).write_text(here)
    pod.run("sync", "resume")
    assert pod.run("sync", "flush").exit_code == 0


def on_pod(pod: World, path: str) -> str:
    return pod.ssh(f"cat '/workspace/proj/{path}'").stdout


def test_what_only_the_pod_has_is_counted_and_fetched_when_asked(pod: World) -> None:
    pod.ssh("mkdir -p /workspace/proj/out && printf 42 > /workspace/proj/out/result.txt")
    pod.run("sync", "flush")
    assert pod.run("sync", "status", "--json").json["pod_only"] == 2
    assert not (pod.folder / "out").exists()
    assert pod.run("sync", "pull", "out", "--json").json == {"pulled": ["out/result.txt"]}
    assert (pod.folder / "out" / "result.txt").read_text() == "42"
    assert pod.run("sync", "pull", "--json").json == {"pulled": []}
    assert pod.run("sync", "pull", "../outside", "--json").exit_code == 2


def test_a_name_from_the_pod_plays_no_tricks_with_the_terminal(pod: World) -> None:
    name = "/workspace/proj/wipe\x1b[2Jname"
    pod.ssh(f"printf x > '{name}'")
    shown = pod.run("sync", "pull").stdout
    pod.ssh(f"rm '{name}'")
    (pod.folder / "wipe\x1b[2Jname").unlink()
    pod.run("sync", "flush")
    assert "wipe\\x1b[2Jname" in shown
    assert "\x1b" not in shown


def test_a_conflict_shows_both_versions_and_ends_as_decided(pod: World) -> None:
    conflict(pod, "train.py", "here\n", "there, longer\n")
    told = pod.run("sync", "conflicts", "--json")
    (found,) = told.json["conflicts"]
    assert told.exit_code == 8
    assert (found["path"], found["local"]["size"], found["pod"]["size"]) == ("train.py", 5, 14)
    assert "train.py" in pod.run("sync", "conflicts").stdout
    assert "conflict" in pod.run("sync", "why", "train.py", "--json").json["outcome"]

    both = pod.run("sync", "resolve", "train.py", "--keep", "both", "--json")
    assert both.exit_code == 0, both.stdout
    (beside,) = [path for path in pod.folder.iterdir() if "conflict from pod" in path.name]
    assert beside.read_text() == "there, longer\n"
    assert beside.name in both.json["written"]
    assert (pod.folder / "train.py").read_text() == "here\n"
    pod.run("sync", "flush")
    assert on_pod(pod, "train.py") == "here\n"
    assert on_pod(pod, beside.name) == "there, longer\n"
    assert pod.run("sync", "conflicts").exit_code == 0

    conflict(pod, "train.py", "mine\n", "theirs\n")
    assert pod.run("sync", "resolve", "train.py", "--keep", "pod").exit_code == 0
    assert (pod.folder / "train.py").read_text() == "theirs\n"


def test_undo_brings_back_what_was_replaced_and_again_what_it_replaced(pod: World) -> None:
    assert pod.run("sync", "undo", "train.py", "--json").json == {"restored": ["train.py"]}
    assert (pod.folder / "train.py").read_text() == "mine\n"
    pod.run("sync", "undo", "train.py")
    assert (pod.folder / "train.py").read_text() == "theirs\n"
    refused = pod.run("sync", "undo", "never-there", "--json")
    assert (refused.exit_code, refused.json["error"]["kind"]) == (2, "usage")


def test_a_deleted_file_comes_back(pod: World) -> None:
    (pod.folder / "src" / "model.py").unlink()
    pod.run("sync", "flush")
    assert pod.ssh("test -e /workspace/proj/src/model.py").exit_code == 1
    assert pod.run("sync", "undo", "src/model.py").exit_code == 0
    assert (pod.folder / "src" / "model.py").read_text() == "layers = 3\n"
    pod.run("sync", "flush")
    assert on_pod(pod, "src/model.py") == "layers = 3\n"


def test_a_version_from_before_the_last_one_comes_back(pod: World) -> None:
    for content in ("first\n", "second\n", "third\n"):
        (pod.folder / "notes.txt").write_text(content)
        pod.run("sync", "flush")
    newest, oldest = pod.run("sync", "trash", "notes.txt", "--json").json["trash"]
    assert (newest["paths"], oldest["paths"], oldest["side"]) == (["notes.txt"], ["notes.txt"], "pod")
    shown = pod.run("sync", "trash").stdout
    assert f"{oldest['at']}  " in shown
    assert "ago, on the pod, 6 B\n  notes.txt\n" in shown
    undone = pod.run("sync", "undo", "notes.txt", "--at", oldest["at"], "--json")
    assert undone.json == {"restored": ["notes.txt"]}
    assert (pod.folder / "notes.txt").read_text() == "first\n"
    refused = pod.run("sync", "undo", "--at", "yesterday")
    assert refused.exit_code == 2
    assert "from yesterday" in refused.stderr


def test_why_names_the_rule(pod: World) -> None:
    assert pod.run("sync", "why", "noise.log", "--json").json["rule"] == "ignored: *.log (.gitignore:1)"
    assert "both sides equal" in pod.run("sync", "why", "src/model.py").stdout


def test_with_two_way_sync_what_the_pod_writes_arrives_here(pod: World) -> None:
    (pod.folder / "devpod-rp.toml").write_text('[sync]\nmode = "two-way-safe"\n')
    assert pod.up()["sync"]["mode"] == "two-way-safe"
    assert pod.ssh("printf hello > /workspace/proj/from-pod.txt").exit_code == 0
    eventually(lambda: (pod.folder / "from-pod.txt").exists(), "the pod's file is here", seconds=90)
    assert (pod.folder / "from-pod.txt").read_text() == "hello"
    assert pod.ssh("rm /workspace/proj/from-pod.txt").exit_code == 0
    eventually(lambda: not (pod.folder / "from-pod.txt").exists(), "it is deleted here", seconds=90)
    conflict(pod, "train.py", "mine again\n", "theirs again\n")
    assert (pod.folder / "train.py").read_text() == "mine again\n"
    assert on_pod(pod, "train.py") == "theirs again\n"
    assert pod.run("sync", "resolve", "train.py", "--keep", "local").exit_code == 0
    assert on_pod(pod, "train.py") == "mine again\n"


def test_a_replica_shows_what_would_go_before_anything_does(pod: World) -> None:
    (pod.folder / "devpod-rp.toml").unlink()
    assert pod.up()["sync"]["mode"] == "one-way-safe"
    pod.ssh("printf only-here > /workspace/proj/pod-only.txt")
    (pod.folder / "devpod-rp.toml").write_text('[sync]\nmode = "one-way-replica"\n')
    asked = pod.run("up", "--yes", "--json")
    assert asked.exit_code == 8
    assert "pod-only.txt" in asked.json["error"]["message"]
    assert on_pod(pod, "pod-only.txt") == "only-here"
    assert pod.run("sync", "plan", "--json").json["pod"]["deleted"] == ["pod-only.txt"]
    assert on_pod(pod, "pod-only.txt") == "only-here"
    assert pod.run("sync", "resume").exit_code == 0
    assert pod.run("sync", "flush").exit_code == 0
    assert pod.ssh("test -e /workspace/proj/pod-only.txt").exit_code == 1
    assert pod.run("sync", "undo", "pod-only.txt").exit_code == 0
    assert Path(pod.folder / "pod-only.txt").read_text() == "only-here"
