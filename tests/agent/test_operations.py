"""Every operation is found in the module that carries it out, and none is loaded before it is asked for."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

import devpod_rp.agent
from devpod_rp.agent import operations

TABLES = {"OPERATIONS": operations.ONE_BY_ONE, "STANDING": operations.STANDING}


@pytest.mark.parametrize("table", TABLES)
def test_what_the_modules_offer_is_what_can_be_asked_for(table: str) -> None:
    offered = set()
    for module in pkgutil.walk_packages(devpod_rp.agent.__path__, "devpod_rp.agent."):
        if not module.ispkg and not module.name.endswith(".loader"):
            offered |= set(getattr(importlib.import_module(module.name), table, ()))
    assert set(TABLES[table]) == offered
    for name in offered:
        assert callable(TABLES[table][name])


def test_an_agent_that_is_asked_nothing_loads_little() -> None:
    code = "import sys, devpod_rp.agent.main; print([m for m in sys.modules if m.startswith('devpod_rp.agent.')])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "devpod_rp.agent.sync.leases" in loaded
    for module in ("sync.roots", "exposure", "rescue", "servers", "watchdog"):
        assert f"devpod_rp.agent.{module}" not in loaded


def test_what_comes_first_is_among_what_an_agent_starts_with() -> None:
    for module in operations.ASKED_FOR_FIRST:
        assert module.partition(".")[0] in operations.ROOMS_AT_THE_START
