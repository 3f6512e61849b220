"""What `status` says while the keeper that it asks comes to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devpod_rp.control import ControlServer
from devpod_rp.lifecycle import overview
from tests.lifecycle.conftest import record


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_keeper_that_ends_while_it_is_asked_leaves_what_the_journal_says(folder: Path) -> None:
    environment = record(folder, spec={"sync": {"enabled": True, "mode": "one-way-safe", "ignore": []}})
    asked: list[str] = []

    def handle(op: str, _fields: dict[str, Any]) -> dict[str, Any]:
        asked.append(op)
        raise SystemExit  # the thread that answers ends, as all of the process would

    server = ControlServer(environment.name, handle)
    try:
        status = overview.sync_status(environment)
    finally:
        server.close()
    assert asked == ["status"]
    assert status["state"] == "disconnected"
