"""Hosts that gave a pod and did not bring it up: remembered for an hour, so that the next attempt goes elsewhere."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

from devpod_rp import paths
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.lifecycle.market.placement import BadHost

log = logging.getLogger(__name__)

_MEMORY_SECONDS = 3600.0


def recent(cloud: str, *, clock: Callable[[], float] = time.time) -> tuple[BadHost, ...]:
    """The hosts of *cloud* that failed within the last hour, oldest first."""
    return tuple(
        BadHost(each["candidate_id"], each["data_center"], each["address"], each["reason"])
        for each in _read(clock())
        if each["cloud"] == cloud
    )


def remember(cloud: str, host: BadHost, *, clock: Callable[[], float] = time.time) -> None:
    """Avoid *host* for an hour."""
    entries = [*_read(clock()), {"cloud": cloud, "at": clock(), **vars(host)}]
    write_atomically(paths.bad_hosts_file(), json.dumps(entries, indent=2).encode("utf-8"))


def _read(now: float) -> list[dict[str, Any]]:
    try:
        entries = json.loads(paths.bad_hosts_file().read_bytes())
        return [each for each in entries if now - each["at"] < _MEMORY_SECONDS]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, KeyError) as error:
        # Only a memory of an hour is lost, and the next failure writes the file anew.
        log.warning("bad_hosts=unreadable error=%s", error)
        return []
