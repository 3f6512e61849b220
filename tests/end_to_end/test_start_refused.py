"""A stopped pod whose host has no free GPU: every way on that is offered works, and nothing on its volume is lost."""

from __future__ import annotations

import json

import pytest

from tests.end_to_end.conftest import Result, World

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]
AWKWARD = r"""
printf x > 'a b'; printf y > $'new\nline'; printf z > $'\xff\xfe'; ln -s 'a b' link; mkdir empty; chmod 640 'a b'
head -c 5000000 /dev/urandom > /workspace/model
"""
LIST = "cd /workspace && find . -path ./.devpod_rp -prune -o -printf '%y %m %p %l\\n' | LC_ALL=C sort | sha256sum"


@pytest.fixture(scope="module")
def stopped(world: World) -> World:
    """A pod with files on its volume disk, stopped, and no free GPU on its host."""
    hook = "if test -e /workspace/model; then echo with the files > /run/hooked; fi"
    (world.folder / "devpod-rp.toml").write_text(f"[hooks]\non_create = ['{hook}']\n")
    world.up("--gpu", "4090")
    world.ssh("echo ls of before >> ~/.bash_history")
    world.ssh(f"mkdir -p /workspace/out && cd /workspace/out; {AWKWARD}")
    assert world.run("stop", "--force").exit_code == 0
    fault(world, start="not-enough-gpus")
    return world


def fault(world: World, **faults: object) -> None:
    assert world.run("local", "fault", json.dumps(faults)).exit_code == 0


def refused(world: World) -> Result:
    result = world.run("up", "--yes", "--json")
    assert result.exit_code == 5
    return result


def test_the_refusal_names_every_way_on_with_price_and_time(stopped: World) -> None:
    error = refused(stopped).json["error"]
    assert error["kind"] == "start-refused"
    assert [each["command"] for each in error["choices"]] == [
        "devpod-rp up proj --wait-capacity 30m",
        "devpod-rp up proj --without-gpu",
        "devpod-rp move proj",
    ]
    assert [each["price_per_hour"] for each in error["choices"]] == [0.69, None, 0.69]
    told = stopped.run("up", "--yes").stderr
    assert "devpod-rp move proj: a new pod (RTX 4090) elsewhere" in told
    assert stopped.run("status", "--json").json["status"] == "EXITED"


def test_without_a_gpu_the_files_can_be_reached(stopped: World) -> None:
    started = stopped.run("up", "--yes", "--json", "--without-gpu")
    assert started.exit_code == 0, started.stdout + started.stderr
    assert started.json["cost_per_hour"] < 0.2
    assert stopped.ssh("wc -c < /workspace/model").stdout.strip() == "5000000"
    assert stopped.run("move", "--yes", "--json").exit_code == 2
    assert stopped.run("stop", "--force").exit_code == 0


def test_moved_to_another_host_every_file_is_there_under_the_same_name(stopped: World) -> None:
    stopped.up("--without-gpu")
    listed, digest = stopped.ssh(LIST).stdout, stopped.ssh("sha256sum < /workspace/model").stdout
    before = stopped.run("status", "--json").json
    assert stopped.run("stop", "--force").exit_code == 0
    (stopped.folder / "edited.py").write_text("edited while it was away\n")

    moved = stopped.run("move", "--yes", "--json")
    assert moved.exit_code == 0, moved.stdout + moved.stderr

    after = moved.json
    assert after["pod_id"] != before["pod_id"]
    assert (after["name"], after["ssh_host"], after["status"]) == (before["name"], before["ssh_host"], "RUNNING")
    assert stopped.ssh("rm /workspace/proj/edited.py; " + LIST).stdout == listed
    assert stopped.ssh("sha256sum < /workspace/model").stdout == digest
    assert stopped.ssh("readlink ~/.bash_history; cat ~/.bash_history").stdout == (
        "/workspace/.devpod/persist/proj/home/.bash_history\nls of before\n"
    )
    assert stopped.ssh("cat /run/hooked").stdout == "with the files\n"
    everything = stopped.run("list", "--all", "--json").json
    assert [each["name"] for each in everything["environments"]] == ["proj"]
    assert everything["unowned_pods"] == []


def test_a_move_that_fails_leaves_the_old_pod_as_it_was(stopped: World) -> None:
    assert stopped.run("stop", "--force").exit_code == 0
    before = stopped.run("status", "--json").json
    fault(stopped, start="not-enough-gpus", create="no-capacity")
    assert stopped.run("move", "--yes", "--json").exit_code == 5
    fault(stopped, start="not-enough-gpus")
    after = stopped.run("status", "--json").json
    assert (after["pod_id"], after["status"]) == (before["pod_id"], "EXITED")
    assert [each["name"] for each in stopped.run("list", "--json").json["environments"]] == ["proj"]


def test_waiting_ends_when_the_host_has_its_gpu_back(stopped: World) -> None:
    waiting = stopped.start("up", "--yes", "--json", "--wait-capacity", "5m")
    fault(stopped)
    stdout, stderr = waiting.communicate(timeout=120)
    assert waiting.returncode == 0, stdout + stderr
    assert stopped.ssh("wc -c < /workspace/model").stdout.strip() == "5000000"
