"""Sessions on the pod as people and programs need them: with its variables, and without a word of their own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from devpod_rp.progress import Event, Progress

if TYPE_CHECKING:
    from devpod_rp.pod.link import AgentLink

# RunPod's start script writes to the same files after sshd is up; one that never ends is not waited for.
BOOT_SECONDS = 10.0
_POLL_SECONDS = 0.2
_SHOWN_CHARACTERS = 40


def warn_of_noise(link: AgentLink, progress: Progress) -> None:
    """Say what the start files of the user print: programs that read what a command answers read that, too."""
    if link.noise:
        line = link.noise.partition("\n")[0].strip()[:_SHOWN_CHARACTERS]
        message = (
            f"A start file on the pod (~/.bashrc?) prints {line!r} in every session; scp and editors take it for an "
            "answer. Let it print only if the shell is interactive: case $- in *i*) …;; esac"
        )
        progress(Event("connect", message, warning=True))


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

    deadline = clock() + BOOT_SECONDS
    try:
        body = json.dumps(dict(wishes)).encode("ascii")
        while link.call("sessions.prepare", body, only_after_boot=clock() < deadline).header["booting"]:
            wait(_POLL_SECONDS)
    except AgentRefused as refusal:
        message = f"Sessions on the pod lack its variables: {refusal.message}"
        progress(Event("connect", message, warning=True))
