"""RunPod's own Python package agrees with the local cloud."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.localcloud.conftest import GPU, LocalCloud

ROOT = Path(__file__).resolve().parents[2]
# Made by `make test`; in an environment of its own, because the package brings sixty others along.
PYTHON = Path(os.environ.get("RUNPOD_PACKAGE_PYTHON", ROOT / ".venv-outside" / "bin" / "python"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="the runpod package is not installed (make .venv-outside/ready)"),
]


def test_the_package_creates_stops_resumes_and_terminates(local: LocalCloud) -> None:
    environ = {**os.environ, "RUNPOD_API_BASE_URL": local.url, "RUNPOD_API_KEY": local.token, "NO_PROXY": "127.0.0.1"}
    program = Path(__file__).with_name("official_client.py")
    done = subprocess.run([PYTHON, program], env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert GPU in [gpu["id"] for gpu in told["gpus"]]
    assert told["gpu"]["id"] == GPU
    assert told["running"]["gpuCount"] == 2
    assert told["running"]["volumeInGb"] == 20
    assert told["running"]["env"] == ["A=1"]
    first, again = ({each["privatePort"]: each["publicPort"] for each in told[key]["runtime"]["ports"]}
                    for key in ("running", "running again"))  # fmt: skip
    assert first[22] != again[22]
    assert told["stopped"]["desiredStatus"] == "EXITED"
    assert told["resumed"]["desiredStatus"] == "RUNNING"
    assert told["pods"] == [told["made"]["id"]]
    assert told["pods left"] == []
    assert "no longer any instances available" in told["too many"]
    assert "Unauthorized" in told["wrong key"]
