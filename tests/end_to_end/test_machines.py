"""Getting a machine where the market is scarce, hosts are bad and the cloud stumbles; never two, never one too dear."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.conftest import Result, World, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

FOUR = ("--gpu", "4090", "--gpu", "RTX A5000", "--gpu", "3090", "--gpu", "L4")


@pytest.fixture
def market(world: World) -> Iterator[World]:
    """A world without pods, whose faults end with the test."""
    assert world.run("local", "start").exit_code == 0
    yield world
    _faults(world)
    world.run("delete", "--yes", "--force")
    for volume in world.run("volumes", "list", "--json").json["volumes"]:
        world.run("volumes", "delete", volume["id"], "--yes")
    (world.folder / "devpod-rp.toml").unlink(missing_ok=True)
    (world.home / "state" / "bad-hosts.json").unlink(missing_ok=True)


def _faults(world: World, **faults: Any) -> None:
    assert world.run("local", "fault", json.dumps(faults)).exit_code == 0


def _pods(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.run("local", "status", "--json").json["pods"]
    return found


def _up(world: World, *arguments: str) -> Result:
    return world.run("up", "--yes", "--json", *arguments)


def test_three_candidates_out_of_stock_and_a_server_error_still_end_in_a_pod(market: World) -> None:
    _faults(market, create_script=["no-capacity", "no-capacity", "no-capacity", "server-error"])
    done = _up(market, *FOUR)
    assert done.exit_code == 0, done.stderr
    assert done.json["gpu"] == "L4"
    for machine in ("RTX 4090", "RTX A5000", "RTX 3090"):
        assert f"{machine}: There are no longer any instances available" in done.stderr
    assert len(_pods(market)) == 1


def test_a_price_limit_below_every_offer_ends_without_a_pod(market: World) -> None:
    done = _up(market, *FOUR, "--max-price", "0.05")
    assert done.exit_code == 5
    assert "above max_price $0.05/h" in done.json["error"]["message"]
    assert _pods(market) == []


def test_a_forbidden_pool_is_skipped(market: World) -> None:
    _faults(market, create_script=["forbidden"])
    done = _up(market, *FOUR)
    assert done.exit_code == 0, done.stdout + done.stderr
    assert done.json["gpu"] == "RTX A5000"


def test_without_credit_nothing_else_is_tried(market: World) -> None:
    _faults(market, create_script=["insufficient-balance", "ok"])
    refused = _up(market, *FOUR)
    assert refused.exit_code == 4
    assert _pods(market) == []


def test_a_pod_dearer_than_quoted_is_terminated_at_once(market: World) -> None:
    _faults(market, create_script=["dearer"])
    done = _up(market, *FOUR)
    assert done.json["gpu"] == "RTX A5000"
    assert "instead of $0.69/h; terminated at once" in done.stderr
    assert [pod["name"] for pod in _pods(market)] == [_pods(market)[0]["name"]]


def test_a_lost_answer_makes_no_second_pod(market: World) -> None:
    _faults(market, create_script=["lost-answer"])
    done = _up(market, *FOUR)
    assert done.exit_code == 0, done.stdout + done.stderr
    assert done.json["gpu"] == "RTX 4090"
    assert len(_pods(market)) == 1


def test_a_request_that_makes_two_pods_leaves_one(market: World) -> None:
    _faults(market, create_script=["double"])
    done = _up(market, *FOUR)
    assert done.exit_code == 0
    assert [pod["id"] for pod in _pods(market)] == [done.json["pod_id"]]


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_answers_cut_off_halfway_are_asked_for_again_and_make_no_second_pod(market: World, method: str) -> None:
    _faults(market, errors={"next": 2, "when": "cut", "method": method})
    done = _up(market, *FOUR)
    assert done.exit_code == 0, done.stdout + done.stderr
    assert [pod["id"] for pod in _pods(market)] == [done.json["pod_id"]]


def test_a_pod_that_vanished_with_its_host_is_said_and_replaced_when_asked(market: World) -> None:
    first = _up(market, *FOUR).json
    catalog = market.run("gpus", "--json").json
    centers = {center["id"] for gpu in catalog["gpus"] for center in gpu["dataCenters"]}
    _faults(market, hosts=dict.fromkeys(centers, "gone"))
    assert market.run("status", "--json").json["status"] == "TERMINATED"
    refused = market.run("stop", "--json")
    assert refused.exit_code == 0
    assert refused.json["was_running"] is False
    _faults(market)
    assert "its volume disk died with it" in market.run("up", "--dry-run", "--json", *FOUR).json["replaces"]
    again = _up(market, *FOUR)
    assert again.exit_code == 0, again.stdout + again.stderr
    assert again.json["pod_id"] != first["pod_id"]
    assert len(_pods(market)) == 1


@pytest.mark.parametrize("fault", ["no-sshd", "no-gpu"])
def test_a_bad_host_is_left_for_another_data_center_and_avoided_afterwards(market: World, fault: str) -> None:
    (market.folder / "devpod-rp.toml").write_text("ssh_timeout_s = 5\n")
    # The local cloud puts a 4090 where most of them are.
    _faults(market, hosts={"EU-RO-1": fault, "US-KS-2": fault})
    done = _up(market, "--gpu", "4090")
    assert done.exit_code == 0, done.stderr
    assert done.json["gpu"] == "RTX 4090"
    assert len(_pods(market)) == 1
    reason = "did not answer over SSH within 5 s" if fault == "no-sshd" else "started with 0 GPUs instead of 1"
    assert reason in done.stderr
    assert market.run("delete", "--yes", "--force").exit_code == 0
    again = _up(market, "--gpu", "4090")
    assert again.exit_code == 0
    assert reason not in again.stderr


def test_waiting_for_capacity_ends_with_a_pod_when_there_is_one(market: World) -> None:
    _faults(market, create="no-capacity")
    waiting = market.start("up", "--yes", "--json", "--gpu", "4090", "--wait-capacity", "2m")
    intent = market.home / "state" / "environments" / "proj" / "environment.json"
    eventually(intent.exists, "up has begun")
    time.sleep(3)  # long enough for the first round to fail
    assert _pods(market) == []
    _faults(market)
    stdout, stderr = waiting.communicate(timeout=120)
    assert waiting.returncode == 0, stderr
    assert "asking again in" in stderr
    assert json.loads(stdout)["status"] == "RUNNING"


def test_waiting_for_capacity_can_be_interrupted(market: World) -> None:
    _faults(market, create="no-capacity")
    waiting = market.start("up", "--yes", "--gpu", "4090", "--wait-capacity", "2m")
    record = market.home / "state" / "environments" / "proj" / "environment.json"
    eventually(record.exists, "up has begun")
    time.sleep(2)
    waiting.send_signal(signal.SIGINT)
    _, stderr = waiting.communicate(timeout=60)
    assert waiting.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert _pods(market) == []


def test_a_started_pod_with_a_stale_port_and_a_late_server_is_waited_for(market: World) -> None:
    before = market.up("--gpu", "4090")
    assert market.run("stop", "--force").exit_code == 0
    center = "EU-RO-1"
    _faults(market, stale_port_seconds=4, hosts={center: "late-sshd"})
    after = market.up()
    assert after["pod_id"] == before["pod_id"]
    assert after["ssh"]["port"] != before["ssh"]["port"]
    assert market.ssh("cat /workspace/proj/train.py").stdout == "print('train')\n"


def test_a_revoked_key_is_said_and_a_good_one_works_again(market: World) -> None:
    market.up("--gpu", "4090")
    _faults(market, key="revoked")
    refused = market.run("stop", "--json")
    assert refused.exit_code == 4
    _faults(market)
    assert market.run("stop", "--force").exit_code == 0


def test_slow_answers_are_waited_for(market: World) -> None:
    _faults(market, slow={"next": 3, "seconds": 2})
    assert market.up("--gpu", "4090")["status"] == "RUNNING"


def test_a_host_under_maintenance_leaves_the_files_and_says_why_it_does_not_start(market: World) -> None:
    market.up("--gpu", "4090")
    assert market.ssh("echo kept > /workspace/kept.txt").exit_code == 0
    _faults(market, hosts={"EU-RO-1": "maintenance", "US-KS-2": "maintenance"})
    assert market.run("status", "--json").json["status"] == "EXITED"
    refused = _up(market)
    assert refused.exit_code == 5
    assert "not enough free GPUs" in refused.json["error"]["message"]
    _faults(market)
    assert _up(market).exit_code == 0
    assert market.ssh("cat /workspace/kept.txt").stdout == "kept\n"
