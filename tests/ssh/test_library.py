"""What a connection does not load."""

from __future__ import annotations

import subprocess
import sys


def _said_by(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_connection_comes_without_invoke_and_takes_it_from_nobody() -> None:
    loaded = "import sys, devpod_rp.ssh.connection; print('invoke' in sys.modules)"
    assert _said_by(loaded) == "False"
    assert _said_by(loaded + "; import invoke; print(invoke.run.__name__)").splitlines() == ["False", "run"]


def test_it_stays_where_somebody_loaded_it_before() -> None:
    program = "import invoke, devpod_rp.ssh.connection, sys; print(sys.modules['invoke'] is invoke)"
    assert _said_by(program) == "True"
