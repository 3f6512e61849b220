"""Spot pods: rented by bid, outbid with real signals, brought back by the keeper."""

from __future__ import annotations

import json

import pytest

from tests.end_to_end.conftest import World, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]
NOTHING_FREE = {"stock": {"NVIDIA GeForce RTX 4090": "NONE"}}


@pytest.fixture(scope="module")
def spot(world: World) -> World:
    (world.folder / "devpod-rp.toml").write_text(
        'gpu = ["4090"]\n[hooks]\npost_start = ["echo started >> /workspace/starts"]\n'
        '[spot]\nenabled = true\nbid = 0.5\nhook = "date > /workspace/hook-ran"\n'
    )
    show = world.home / "bin" / "notify-send"
    show.parent.mkdir(parents=True)
    show.write_text(f'#!/bin/sh\necho "$3: $4" >> {world.home}/notices\n')
    show.chmod(0o755)
    world.environ["PATH"] = f"{show.parent}:{world.environ['PATH']}"
    world.up()
    return world


def fault(world: World, **faults: object) -> None:
    assert world.run("local", "fault", json.dumps(faults)).exit_code == 0


def outbid(world: World) -> None:
    assert world.run("local", "preempt", "proj").exit_code == 0


def until_running(world: World, **more: object) -> None:
    def back() -> bool:
        return world.ssh("true").exit_code == 0 and world.run("sync", "flush").exit_code == 0

    eventually(back, "ssh and the synchronisation are back", seconds=90)


def test_a_bid_is_what_the_pod_costs(spot: World) -> None:
    assert spot.run("status", "--json").json["cost_per_hour"] == 0.5
    assert spot.ssh("cat /workspace/proj/train.py").stdout == "print('train')\n"


def test_a_bid_that_nobody_takes_ends_without_a_pod(spot: World) -> None:
    refused = spot.run("up", "other", "--yes", "--json", "--gpu", "4090", "--bid", "0.01", "--folder", str(spot.home))
    assert refused.exit_code == 5
    assert "at least" in refused.json["error"]["message"]
    assert len(spot.run("list", "--all", "--json").json["environments"]) == 1


def test_an_outbid_pod_comes_back_by_itself_with_files_and_synchronisation(spot: World) -> None:
    spot.ssh("echo kept > /workspace/kept; echo lost > /root/lost")
    outbid(spot)
    eventually(lambda: spot.ssh("true").exit_code != 0, "the pod is gone")
    (spot.folder / "while-away.py").write_text("edited meanwhile\n")
    until_running(spot)
    assert spot.ssh("cat /workspace/kept").stdout == "kept\n"
    assert spot.ssh("cat /root/lost").exit_code != 0
    eventually(lambda: spot.ssh("cat /workspace/starts").stdout == "started\nstarted\n", "the hooks ran again")
    assert spot.ssh("cat /workspace/proj/while-away.py").stdout == "edited meanwhile\n"
    assert spot.run("check", "--json").json["safe_to_stop"] is True


def test_what_only_the_container_disk_had_is_on_the_volume_after_a_preemption(spot: World) -> None:
    counted = "echo $i > /workspace/p; mv /workspace/p /workspace/progress"
    loop = f"i=0; while :; do i=$((i+1)); echo $i > /root/run/$i.txt; {counted}; sleep 0.02; done"
    spot.ssh("mkdir -p /root/run; head -c 30000000 /dev/urandom > /root/checkpoint.bin")
    spot.ssh(f"nohup sh -c '{loop}' >/dev/null 2>&1 &")
    checkpoint = spot.ssh("sha256sum < /root/checkpoint.bin").stdout
    eventually(lambda: spot.ssh("test $(cat /workspace/progress) -gt 50").exit_code == 0, "the loop runs")
    spot.ssh("rm -f /workspace/hook-ran")
    outbid(spot)
    eventually(lambda: spot.ssh("true").exit_code != 0, "the pod is gone")
    until_running(spot)
    assert spot.ssh("cat /workspace/hook-ran").stdout, "the hook ran"
    last = int(spot.ssh("cat /workspace/progress").stdout)
    saved = set(spot.ssh("cd /workspace/.devpod/rescue && find . -name '*.txt' -printf '%f\\n'").stdout.split())
    # The last one may have been cut off between its name and its line.
    assert {f"{number}.txt" for number in range(1, last)} <= saved
    assert spot.ssh("cat /workspace/.devpod/rescue/*/root/checkpoint.bin | sha256sum").stdout == checkpoint
    notes = spot.ssh("ls -t /workspace/.devpod/rescue/preempted-*.json").stdout.split()
    assert json.loads(spot.ssh(f"cat {notes[0]}").stdout)["not_saved"] == []
    assert spot.ssh("ls /root/run").exit_code != 0


def test_while_nothing_is_free_the_keeper_waits_and_says_so(spot: World) -> None:
    fault(spot, **NOTHING_FREE)
    outbid(spot)
    status = eventually(
        lambda: "outbid" in ((told := spot.run("sync", "status", "--json").json).get("reason") or "") and told,
        "the keeper says that the pod was outbid",
        seconds=60,
    )
    assert "$0.500" in status["reason"]
    assert "outbid" in spot.run("status").stdout
    assert "proj was outbid: " in (spot.home / "notices").read_text()
    assert spot.run("status", "--json").json["status"] == "EXITED"
    fault(spot)
    until_running(spot)


def test_a_stop_by_the_user_is_not_undone(spot: World) -> None:
    assert spot.run("stop", "--force", "--json").exit_code == 0
    assert spot.run("local", "preempt", "proj").exit_code != 0
    spot.run("sync", "status")
    assert spot.run("status", "--json").json["status"] == "EXITED"


def test_up_starts_it_again_on_its_bid(spot: World) -> None:
    assert spot.up()["cost_per_hour"] == 0.5


def test_on_demand_can_be_what_follows(spot: World) -> None:
    with (spot.folder / "devpod-rp.toml").open("a") as stream:
        stream.write('on_preempt = "on-demand"\n')
    spot.up()
    fault(spot, prices={"NVIDIA GeForce RTX 4090": {"secure": 1.2}})
    outbid(spot)
    until_running(spot)
    assert spot.run("status", "--json").json["cost_per_hour"] == 1.2
