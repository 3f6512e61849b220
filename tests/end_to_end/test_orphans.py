"""No pod is forgotten: what interrupted commands left is found, what is not ours is left alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.end_to_end.conftest import World, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


@pytest.fixture
def account(world: World) -> Iterator[World]:
    assert world.run("local", "start").exit_code == 0
    yield world
    world.run("local", "reset", "--yes")


def _api(world: World) -> httpx.Client:
    """The cloud as its console would speak to it."""
    endpoint = world.local_cloud()
    headers = {"Authorization": f"Bearer {endpoint['token']}"}
    return httpx.Client(base_url=endpoint["url"], headers=headers, trust_env=False)


def _foreign_pod(world: World, **changes: Any) -> str:
    body = {
        "name": "somebody elses",
        "image": "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404",
        "gpu": {"id": "NVIDIA GeForce RTX 4090", "count": 1},
        "disk": 20,
        "ports": ["22/tcp"],
        "mounts": {"persistent": {"size": 20, "path": "/workspace"}},
        **changes,
    }
    with _api(world) as api:
        made = api.post("/v2/pods", json=body)
        assert made.status_code == 201, made.text
        pod_id: str = made.json()["id"]
        eventually(lambda: api.get(f"/v2/pods/{pod_id}").json()["status"] == "RUNNING", "the pod runs")
    return pod_id


def _keepers(world: World) -> list[int]:
    return [each.pid for each in world.processes() if "devpod_rp.keeper" in each.cmdline()]


def test_a_foreign_pod_is_shown_and_never_touched(account: World) -> None:
    pod_id = _foreign_pod(account)
    shown = account.run("list", "--all", "--json").json["unowned_pods"]
    assert [(each["id"], each["made_here"]) for each in shown] == [(pod_id, False)]
    assert account.run("gc", "--yes", "--json").json["leftovers"] == []
    assert account.run("list", "--all", "--json").json["unowned_pods"] != []


def test_a_half_made_pod_is_terminated(account: World) -> None:
    process = account.start("up", "--yes", DEVPOD_RP_LOCAL_DELAYS="allocate=60")
    record = account.home / "state" / "environments" / "proj" / "environment.json"
    eventually(lambda: record.exists() and '"pod_id": "' in record.read_text(), "the pod is recorded")
    process.kill()
    process.communicate()
    assert account.run("status", "--json").json["half_made"] is True
    proposed = account.run("gc", "--json").json
    assert [each["remedy"] for each in proposed["leftovers"]] == ["terminate"]
    assert proposed["cleared"] == []
    assert len(account.run("gc", "--yes", "--json").json["cleared"]) == 1
    assert account.run("list", "--json").json["cost_per_hour"] == 0
    assert account.run("gc", "--yes", "--json").json["leftovers"] == []


def test_a_pod_whose_record_is_lost_becomes_an_environment_again_and_keeps_its_files(account: World) -> None:
    before = account.up()
    assert account.ssh("echo work > /root/work.txt").exit_code == 0
    shutil.rmtree(account.home / "state" / "environments" / "proj")
    eventually(lambda: not _keepers(account), "the keeper notices that its record is gone", seconds=60)
    found = account.run("gc", "--yes", "--json").json
    assert [(each["pod_id"], each["remedy"]) for each in found["leftovers"]] == [(before["pod_id"], "adopt")]
    after = account.up()
    assert after["pod_id"] == before["pod_id"]
    at_risk = [each["path"] for each in account.run("check", "--json").json["at_risk"]]
    assert "/root/work.txt" in at_risk


def test_a_tracked_pod_is_an_environment_like_any_other(account: World) -> None:
    key = (account.home / "ssh" / "id_ed25519.pub").read_text()
    pod_id = _foreign_pod(account, env={"PUBLIC_KEY": key})
    tracked = account.run("track", pod_id, "--name", "proj", "--json")
    assert tracked.exit_code == 0, tracked.stdout
    assert account.up()["pod_id"] == pod_id
    assert account.ssh("cat /workspace/proj/train.py").stdout == "print('train')\n"
    again = account.run("track", pod_id, "--json")
    assert again.exit_code == 2
    assert "owns the pod" in again.json["error"]["message"]


def test_a_pod_that_does_not_know_our_key_is_not_tracked(account: World) -> None:
    pod_id = _foreign_pod(account, env={"PUBLIC_KEY": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPh9 nobody"})
    refused = account.run("track", pod_id, "--json")
    assert refused.exit_code == 6
    assert "authorized_keys" in refused.json["error"]["hint"]
    assert account.run("list", "--json").json["environments"] == []
