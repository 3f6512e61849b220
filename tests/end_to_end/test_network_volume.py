"""An environment on a network volume: hibernates, comes back elsewhere as if nothing had happened, never forgotten."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from tests.end_to_end.conftest import World

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

VOLUME = ("--gpu", "4090", "--volume", "network:data:20")


@pytest.fixture
def stored(world: World) -> Iterator[World]:
    yield world
    _clear(world)


def _clear(world: World) -> None:
    world.run("delete", "--yes", "--force")
    for volume in world.run("volumes", "list", "--json").json["volumes"]:
        assert world.run("volumes", "delete", volume["id"], "--yes").exit_code == 0


def test_hibernated_and_brought_back_it_is_the_same_environment_on_another_pod(stored: World) -> None:
    before = stored.up(*VOLUME)
    assert (before["volume"]["kind"], before["volume"]["size_gb"]) == ("network", 20)
    assert stored.ssh("echo result > /workspace/proj/result.txt").exit_code == 0
    known = stored.known_hosts()
    stopped = stored.run("stop", "--json")
    assert (stopped.exit_code, stopped.json["status"]) == (0, "HIBERNATED")
    assert stored.run("local", "status", "--json").json["pods"] == []
    (stored.folder / "train.py").write_text("print('changed meanwhile')\n")
    after = stored.up()  # without any flag: what was asked for once is still meant
    assert after["pod_id"] != before["pod_id"]
    assert after["ssh_host"] == before["ssh_host"]
    assert after["volume"]["id"] == before["volume"]["id"]
    assert stored.known_hosts() == known, "another machine, and still the same server"
    assert stored.ssh("cat /workspace/proj/result.txt").stdout == "result\n"
    assert stored.ssh("cat /workspace/proj/train.py").stdout == "print('changed meanwhile')\n"
    journal = stored.run("sync", "status", "--json").json
    assert journal["conflicts"] == []
    log = (stored.home / "state" / "environments" / "proj" / "keeper.log").read_text()
    assert "uploaded_files=" in log or journal["state"] == "watching"


def test_a_second_writer_needs_to_be_asked_for(stored: World) -> None:
    stored.up(*VOLUME)
    other = stored.folder.parent / "other"
    other.mkdir(exist_ok=True)
    refused = stored.run("up", "--yes", "--json", *VOLUME, cwd=other)
    assert refused.exit_code == 2
    assert "is attached to the pod devpod-proj-" in refused.json["error"]["message"]
    shared = stored.run("up", "--yes", "--json", "--shared", *VOLUME, cwd=other)
    assert shared.exit_code == 0, shared.stderr
    assert stored.known_hosts("other") != stored.known_hosts(), "each has its own host keys on the volume they share"
    assert stored.run("delete", "other", "--yes", "--force").exit_code == 0


def test_a_volume_grows_when_asked_and_never_shrinks(stored: World) -> None:
    stored.up(*VOLUME)
    stored.run("stop", "--force")
    assert stored.up("--volume-size", "30")["volume"]["size_gb"] == 30
    stored.run("stop", "--force")
    assert stored.up("--volume-size", "10")["volume"]["size_gb"] == 30


def test_other_storage_is_not_taken_by_the_way(stored: World) -> None:
    stored.up(*VOLUME)
    stored.run("stop", "--force")
    refused = stored.run("up", "--yes", "--json", "--volume", "disk")
    assert refused.exit_code == 3
    assert "keeps its files on the network volume" in refused.json["error"]["message"]


@pytest.mark.timeout(600)
def test_up_killed_at_twenty_moments_leaves_no_pod_and_no_volume_that_nothing_owns(stored: World) -> None:
    began = time.monotonic()
    stored.up(*VOLUME)
    whole = time.monotonic() - began
    _clear(stored)
    moments = random.Random(20)
    for index in range(20):
        process = stored.start("up", "--yes", *VOLUME)
        time.sleep(whole * (index + moments.random()) / 20)  # the moment is the point, not a wait for something
        process.kill()
        process.communicate()
        overview = stored.run("list", "--json").json
        assert overview["unowned_pods"] == [], f"killed at {index}/20"
        owned = {each["volume"]["id"] for each in overview["environments"]}
        volumes = {each["id"] for each in stored.run("volumes", "list", "--json").json["volumes"]}
        assert volumes <= owned, f"killed at {index}/20"
        if index % 5 == 4:
            assert stored.up(*VOLUME)["status"] == "RUNNING"
            _clear(stored)
