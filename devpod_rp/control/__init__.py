"""Starting an environment's keeper, and speaking to it: one JSON line asks, one JSON line answers.

The keeper listens on a Unix socket that only its user can open; on Windows on the loopback interface, behind a token
in a file that only its user can read.
"""

from __future__ import annotations

from devpod_rp.control.client import KeeperNotRunning, KeeperRefused, KeeperSilent, keeper_request, keeper_running
from devpod_rp.control.process import (
    KeeperNotStarted,
    keeper_lock_file,
    keeper_log_file,
    run_detached,
    spawn_detached,
    start_keeper,
    stop_keeper,
)
from devpod_rp.control.server import ControlServer, Handler

__all__ = [
    "ControlServer",
    "Handler",
    "KeeperNotRunning",
    "KeeperNotStarted",
    "KeeperRefused",
    "KeeperSilent",
    "keeper_lock_file",
    "keeper_log_file",
    "keeper_request",
    "keeper_running",
    "run_detached",
    "spawn_detached",
    "start_keeper",
    "stop_keeper",
]
