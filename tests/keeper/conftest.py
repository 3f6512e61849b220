"""A keeper of its own for each test, with a home of its own."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.keeper.rig import Rig, eventually


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEVPOD_RP_HOME", str(tmp_path / "h"))
    return tmp_path / "h"


@pytest.fixture
def rig(tmp_path: Path, home: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    for connection in rig.pod.connections:
        for channel in connection.channels:
            channel.signal(signal.SIGCONT)
    rig.stop()
    # Whatever a test did to the agents: the keeper closes every link, also one that was
    # still being opened.
    for connection in rig.pod.connections:
        eventually(lambda closed=connection: closed.closed)  # type: ignore[misc]
