"""The bars of the main job, in the order in which a user meets them."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from tests.end_to_end.conftest import World, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(300)]

STATUS_KEYS = {
    "name", "cloud", "pod_id", "status", "ssh_host", "ssh", "workspace", "gpu", "cost_per_hour", "volume", "sync",
    "simulated",
}  # fmt: skip


@pytest.fixture(scope="module")
def pod(world: World) -> World:
    document = world.up()
    assert document.keys() >= STATUS_KEYS
    assert document["ssh"].keys() == {"host", "port", "user", "identity_file", "config_file"}
    assert document["volume"].keys() == {"kind", "id", "size_gb", "path"}
    assert document["simulated"] is True
    return world


def test_a_fresh_pod_is_safe_to_stop(pod: World) -> None:
    report = pod.run("check", "--json").json
    assert report["safe_to_stop"] is True, report["at_risk"]
    assert report.keys() >= {"at_risk", "rebuildable", "processes", "scanned_files", "seconds"}


def test_ssh_shows_the_project_without_asking_anything(pod: World) -> None:
    listed = pod.ssh("cd /workspace/proj && ls -A && readlink link && test -x run.sh && echo executable")
    assert listed.exit_code == 0, listed.stderr
    assert set(listed.stdout.split()) == {
        ".gitignore", "link", "run.sh", "src", "train.py", "src/model.py", "executable",
    }  # fmt: skip


def test_a_save_is_on_the_pod_soon(pod: World) -> None:
    (pod.folder / "saved.py").write_text("now\n")
    started = time.monotonic()
    eventually(lambda: pod.ssh("cat /workspace/proj/saved.py").stdout == "now\n", "the save arrives", seconds=10)
    assert time.monotonic() - started < 5  # a second on a machine that has nothing else to do


def test_up_again_is_harmless(pod: World) -> None:
    before = pod.run("status", "--json").json
    again = pod.up()
    assert (again["pod_id"], again["ssh"]) == (before["pod_id"], before["ssh"])
    assert again["sync"]["state"] == "watching"


def test_a_file_changed_on_both_sides_is_a_conflict_and_both_versions_survive(pod: World) -> None:
    pod.run("sync", "pause")
    assert pod.ssh("echo pod > /workspace/proj/train.py").exit_code == 0
    (pod.folder / "train.py").write_text("local\n")
    pod.run("sync", "resume")
    assert pod.run("sync", "flush", "--json").exit_code == 0
    status = pod.run("sync", "status", "--json").json
    assert [each["path"] for each in status["conflicts"]] == ["train.py"]
    assert status.keys() >= {"state", "local_files", "remote_files", "pending", "problems", "last_synced_at"}
    assert pod.run("sync", "conflicts").exit_code == 8
    assert pod.ssh("cat /workspace/proj/train.py").stdout == "pod\n"
    assert (pod.folder / "train.py").read_text() == "local\n"


def test_a_deletion_here_does_not_take_an_edit_there(pod: World) -> None:
    assert pod.ssh("echo edited >> /workspace/proj/src/model.py").exit_code == 0
    (pod.folder / "src" / "model.py").unlink()
    pod.run("sync", "flush")
    assert "edited" in pod.ssh("cat /workspace/proj/src/model.py").stdout


def test_open_prints_the_link_when_there_is_no_editor(pod: World) -> None:
    opened = pod.run("open", "--json", PATH="/usr/sbin").json
    assert opened["launched"] is False
    assert opened["deep_link"].startswith("vscode://vscode-remote/ssh-remote+proj.devpod/workspace/proj")


def test_the_guard_names_a_file_that_only_the_container_disk_has(pod: World) -> None:
    pod.ssh("echo precious > /root/precious.txt; touch -d 2001-01-01 /root/precious.txt")
    report = pod.run("check", "--json").json
    assert report["safe_to_stop"] is False
    assert [each["path"] for each in report["at_risk"] if each["sole_copy"]] == ["/root/precious.txt"]


def test_stop_without_a_terminal_refuses_and_the_pod_runs_on(pod: World) -> None:
    refused = pod.run("stop", "--json")
    assert refused.exit_code == 7
    assert refused.json["error"]["code"] == 7
    assert "/root/precious.txt" in refused.json["error"]["message"]
    assert pod.ssh("cat /root/precious.txt").stdout == "precious\n"


def test_a_killed_keeper_is_replaced(pod: World) -> None:
    keeper = pod.run("sync", "status", "--json").json["pid"]
    os.kill(keeper, signal.SIGKILL)
    assert pod.run("sync", "status", "--json").json["state"] == "disconnected"
    assert pod.up()["sync"]["pid"] != keeper
    (pod.folder / "after.txt").write_text("after\n")
    assert pod.run("sync", "flush").exit_code == 0
    assert pod.ssh("cat /workspace/proj/after.txt").stdout == "after\n"


def test_a_killed_local_cloud_comes_back_with_the_container_disk(pod: World) -> None:
    os.kill(pod.local_cloud()["pid"], signal.SIGKILL)
    assert pod.run("status", "--json").exit_code == 0
    eventually(lambda: pod.run("status", "--json").json["status"] == "RUNNING", "the pod is back", seconds=60)
    assert pod.up()["status"] == "RUNNING"
    assert pod.ssh("cat /root/precious.txt").stdout == "precious\n"
    report = pod.run("check", "--json").json
    assert [each["path"] for each in report["at_risk"] if each["sole_copy"]] == ["/root/precious.txt"]


def test_rescue_then_stop_then_up_brings_the_bytes_back(pod: World) -> None:
    before = pod.run("status", "--json").json
    stopped = pod.run("stop", "--rescue", "--json")
    assert stopped.exit_code == 0, stopped.stdout
    assert stopped.json["status"] == "EXITED"
    saved = stopped.json["rescue"]["destination"]
    again = pod.up()
    assert again["ssh"]["port"] != before["ssh"]["port"]
    assert pod.ssh(f"cat {saved}/root/precious.txt").stdout == "precious\n"
    assert pod.ssh("ls /root/precious.txt").exit_code != 0
    assert pod.run("check", "--json").json["safe_to_stop"] is True


def test_delete_guards_the_volume_and_leaves_no_trace(pod: World) -> None:
    assert pod.run("delete", "--json").exit_code == 2
    refused = pod.run("delete", "--yes", "--json")
    assert refused.exit_code == 7, refused.stdout
    assert "only on the volume" in refused.json["error"]["message"]
    assert pod.run("delete", "--yes", "--force", "--json").exit_code == 0
    overview = pod.run("list", "--json").json
    assert overview["environments"] == []
    assert overview["unowned_pods"] == []
    # A file that was made for our line alone goes with it.
    assert not pod.ssh_config.exists() or "devpod" not in pod.ssh_config.read_text()


def test_errors_are_one_paragraph_with_the_documented_code(world: World) -> None:
    unreachable = world.run("up", "--yes", "--json", RUNPOD_API_KEY="k", RUNPOD_API_URL="http://127.0.0.1:9")
    assert (unreachable.exit_code, unreachable.json["error"]["code"]) == (6, 6)
    wrong_key = world.run("list", "--json", RUNPOD_API_KEY="wrong", RUNPOD_API_URL=world.local_cloud()["url"])
    assert "401" in json.dumps(wrong_key.json) or wrong_key.json["unreachable"]
    refused = world.run("gpus", "--json", RUNPOD_API_KEY="wrong", RUNPOD_API_URL=world.local_cloud()["url"])
    assert refused.exit_code == 4
    assert "wrong" not in refused.stdout
    wrong_gpu = world.run("up", "--yes", "--json", "--gpu", "RTX 9999")
    assert (wrong_gpu.exit_code, wrong_gpu.json["error"]["kind"]) == (3, "unknown-gpu")
    toml = world.folder / "devpod-rp.toml"
    toml.write_text('gpuu = ["4090"]\n')
    unknown_key = world.run("up", "--yes", "--json")
    toml.unlink()
    assert unknown_key.exit_code == 3
    assert "devpod-rp.toml:1" in unknown_key.json["error"]["message"]
    assert unknown_key.json["error"]["hint"] == "did you mean gpu?"


def test_no_capacity_leaves_nothing_behind_that_bills(world: World) -> None:
    assert world.run("local", "fault", '{"create": "no-capacity"}').exit_code == 0
    refused = world.run("up", "--yes", "--json")
    world.run("local", "fault", "{}")
    assert refused.exit_code == 5
    assert "RTX 4090" in [each["machine"] for each in refused.json["error"]["attempts"]]
    assert world.run("list", "--json").json["cost_per_hour"] == 0


@pytest.mark.parametrize("seconds", [0.6, 1.2, 1.8, 2.6])
def test_up_killed_at_any_moment_is_finished_by_the_next_one(world: World, seconds: float) -> None:
    process = world.start("up", "--yes")
    time.sleep(seconds)  # the moment is the point of the test, not a wait for something
    process.kill()
    process.communicate()
    assert world.up()["status"] == "RUNNING"
    overview = world.run("list", "--json").json
    assert len(overview["environments"]) == 1
    assert overview["unowned_pods"] == []
    assert world.run("delete", "--yes", "--force").exit_code == 0


def test_a_network_volume_outlives_its_pod(world: World) -> None:
    first = world.up("--volume-kind", "network", "--volume-size", "10")
    assert world.ssh("echo kept > /workspace/kept.txt").exit_code == 0
    stopped = world.run("stop", "--json")
    assert (stopped.exit_code, stopped.json["status"]) == (0, "HIBERNATED"), stopped.stdout
    assert world.run("list", "--json").json["cost_per_hour"] == 0
    again = world.up("--volume-kind", "network", "--volume-size", "10")
    assert again["pod_id"] != first["pod_id"]
    assert world.ssh("cat /workspace/kept.txt").stdout == "kept\n"
    deleted = world.run("delete", "--yes", "--json")
    assert deleted.json["kept_volume"] == first["volume"]["id"]
    assert world.run("volumes", "delete", first["volume"]["id"], "--yes").exit_code == 0


def test_two_environments_make_a_nameless_command_ask(world: World) -> None:
    other = world.folder.parent / "other"
    other.mkdir()
    world.up()
    world.up(cwd=other)
    refused = world.run("status", "--json", cwd=world.folder.parent)
    assert refused.exit_code == 2
    assert "other, proj" in refused.json["error"]["message"]
    for name in ("proj", "other"):
        assert world.run("delete", name, "--yes", "--force").exit_code == 0
