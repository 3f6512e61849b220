"""The pod's variables in every session that somebody opens on it; see the agent's ``sessions.prepare``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from devpod_rp.progress import Event, Progress

if TYPE_CHECKING:
    from devpod_rp.pod.link import AgentLink

# RunPod's start script writes to the same files after sshd is up; one that never ends is not waited for.
_BOOT_SECONDS = 10.0
_POLL_SECONDS = 0.2


def prepare(
    link: AgentLink,
    wishes: Mapping[str, str],
    progress: Progress,
    *,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Have every new shell on the pod see the variables it was started with, as *wishes* (``session_env``) change them.

    Without them it still works.

    Raises:
        LinkLost: the connection died.
    """
    from devpod_rp.pod.link import AgentRefused

    deadline = clock() + _BOOT_SECONDS
    try:
        body = json.dumps(dict(wishes)).encode("ascii")
        while link.call("sessions.prepare", body, only_after_boot=clock() < deadline).header["booting"]:
            wait(_POLL_SECONDS)
    except AgentRefused as refusal:
        message = f"Sessions on the pod lack its variables: {refusal.message}"
        progress(Event("connect", message, warning=True))
