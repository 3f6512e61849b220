"""Whether the user paused the synchronisation: it outlasts keepers and pods, until the user resumes it."""

from __future__ import annotations

import json
from pathlib import Path

from devpod_rp import paths
from devpod_rp.agent.files.atomic import write_atomically


def is_paused(name: str) -> bool:
    """Whether the user paused the synchronisation of environment *name* and did not resume it."""
    file = _file(name)
    return file.exists() and bool(json.loads(file.read_bytes())["paused"])


def remember_paused(name: str, paused: bool) -> None:
    write_atomically(_file(name), json.dumps({"paused": paused}).encode("utf-8"))


def _file(name: str) -> Path:
    return paths.environment_dir(name) / "keeper-memory.json"
