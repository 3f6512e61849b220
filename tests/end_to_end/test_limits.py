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
    return str(world.run("status", "--json").json["status"])


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
