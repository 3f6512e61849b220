"""A pod ends by itself when its limits say so, with the laptop's keeper dead; one that is in use does not."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.end_to_end.conftest import World, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(400)]

_STATE = "/run/devpod_rp/watchdog-state.json"
# Writes what the watchdog says, once a second, to the volume, where it can be read when the pod is gone.
_DIARY = f"for i in $(seq 24); do cat {_STATE}; echo; sleep 1; done"


@pytest.fixture
def left_alone(world: World) -> World:
    """A pod with a limit of 8 idle seconds whose keeper is dead."""
    document = world.up("--idle-stop", "8s")
    assert document["limits"]["in_pod"] is True, document["limits"]
    os.kill(world.run("sync", "status", "--json").json["pid"], signal.SIGKILL)
    return world


def _status(world: World) -> str:
    answer = world.run("status", "--json")
    assert "status" in answer.json, answer
    return str(answer.json["status"])


def _states(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def test_an_idle_pod_stops_itself_and_one_in_use_does_not(left_alone: World) -> None:
    world = left_alone
    session = _states(world.ssh(_DIARY).stdout)
    assert {state["action"] for state in session[5:]} == {"keep"}
    assert "an open SSH session" in str(session[-1]["reason"])

    busy = "timeout 30 python3 -c 'while True: pass'"
    world.ssh(f"echo precious > /root/precious.txt; (setsid sh -c '{_DIARY}' >/workspace/cpu &) ; "
              f"(setsid {busy} </dev/null >/dev/null 2>&1 &)")  # fmt: skip
    diary = Path(next((world.home / "state" / "local-cloud").rglob("cpu")))
    eventually(lambda: len(_states(diary.read_text())) >= 24, "the job is watched", seconds=90)
    assert "while True" in str(_states(diary.read_text())[-1]["reason"])
    assert _status(world) == "RUNNING"

    kernel = "import time; time.sleep(35)"
    world.ssh(f"(setsid sh -c '{_DIARY}' >/workspace/kernel &) ; "
              f"(setsid python3 -c '{kernel}' -m ipykernel_launcher </dev/null >/dev/null 2>&1 &)")  # fmt: skip
    diary = diary.with_name("kernel")
    eventually(lambda: len(_states(diary.read_text())) >= 24, "the kernel is watched", seconds=90)
    assert "a Jupyter kernel" in str(_states(diary.read_text())[-1]["reason"])

    eventually(lambda: _status(world) == "EXITED", "the idle pod stops itself", seconds=150)
    log = world.run("logs").stdout
    assert "stopping this pod: nothing has used it for 8s, the idle_stop" in log
    assert [each.read_text() for each in diary.parent.glob(".devpod/rescue/*/root/precious.txt")] == ["precious\n"]
    assert world.run("delete", "--yes", "--force").exit_code == 0


def test_a_pod_whose_key_is_refused_is_stopped_by_the_keeper(world: World) -> None:
    result = world.run("up", "--yes", "--json", "--idle-stop", "10s", "--env", "RUNPOD_API_KEY=not-the-pods-own")
    assert result.exit_code == 0, result.stdout
    assert result.json["limits"]["in_pod"] is False
    assert "401" in result.json["limits"]["refusal"]
    assert "only the keeper on this machine enforces its limits" in result.stderr
    eventually(lambda: _status(world) == "EXITED", "the keeper stops it", seconds=120)
    because = world.run("status", "--json").json["limits"]["stopped_because"]
    assert because == "nothing has used it for 10s, the idle_stop"
    assert because in world.run("status").stdout
    assert world.run("delete", "--yes", "--force").exit_code == 0


def test_a_rescue_that_fails_holds_the_pod_and_says_so(world: World) -> None:
    world.up("--no-volume", "--idle-stop", "never", "--max-runtime", "15s", "--env", "RUNPOD_API_KEY=")
    world.ssh("echo precious > /root/precious.txt")
    held = eventually(
        lambda: (world.run("status", "--json").json["limits"]["watchdog"] or {}).get("held"), "it is held", seconds=120
    )
    assert "has no volume" in held
    assert world.ssh("cat /root/precious.txt").stdout == "precious\n"
    assert "it runs on, because" in world.run("status").stdout
    assert world.run("delete", "--yes", "--force").exit_code == 0


def test_a_pod_outlives_the_laptop_only_by_its_lid_stop(world: World) -> None:
    world.up("--idle-stop", "never", "--lid-stop", "1m")
    world.ssh("(setsid timeout 200 python3 -c 'while True: pass' </dev/null >/dev/null 2>&1 &)")
    os.kill(world.run("sync", "status", "--json").json["pid"], signal.SIGKILL)
    eventually(lambda: _status(world) == "EXITED", "the pod stops itself", seconds=150)
    assert "the laptop has not been heard of for 1m" in world.run("logs").stdout
    assert world.run("delete", "--yes", "--force").exit_code == 0


def test_a_snooze_and_a_planned_stop_reach_the_pod(world: World) -> None:
    world.up("--idle-stop", "6s")
    snoozed = world.run("snooze", "1h", "--json").json["limits"]
    assert (snoozed["in_pod"], snoozed["idle_seconds"]) == (True, 6.0)
    reason = eventually(
        lambda: "snoozed" in str(world.run("status", "--json").json["limits"]["watchdog"]), "it is snoozed", seconds=60
    )
    assert reason
    assert world.run("stop", "--at", "25:00").exit_code == 2
    assert world.run("stop", "--in", "5s", "--json").json["limits"]["stop_at"] > 0
    assert _status(world) == "RUNNING"
    eventually(lambda: _status(world) == "EXITED", "the planned stop comes", seconds=90)
    assert world.run("snooze", "1h").exit_code == 2
    assert world.run("delete", "--yes", "--force").exit_code == 0
