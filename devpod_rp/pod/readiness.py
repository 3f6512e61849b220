"""Waiting until a pod that was just started can be spoken to."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from devpod_rp.progress import Event, Progress, silent
from devpod_rp.ssh.address import Address, banner
from devpod_rp.ssh.errors import Unreachable

log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0
_BANNER_SECONDS = 5.0


def wait_for_ssh(
    get_address: Callable[[], Address | None],
    *,
    timeout: float,
    progress: Progress = silent,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
    speaks: Callable[[Address, float], str] = banner,
) -> Address:
    """Wait until the pod has an address and an SSH server answers there, at most *timeout* seconds.

    *get_address* is asked before every attempt, because a pod gets its address late and may get another; what it
    raises (the pod is gone) ends the waiting. A port that only accepts connections does not count: RunPod's proxy does
    that long before the pod's sshd runs.

    Raises:
        Unreachable: the time is over; the message says what was missing last.
    """
    deadline = clock() + timeout
    missing = ""
    seconds = _FIRST_PAUSE_SECONDS
    while True:
        progress(Event("boot", f"Waiting for SSH: {missing}" if missing else "Waiting for SSH"))
        address = get_address()
        left = deadline - clock()
        if address is None:
            missing = "it has no public address yet"
        elif left > 0:
            try:
                identification = speaks(address, min(_BANNER_SECONDS, left))
            except Unreachable as error:
                missing = error.message
                log.debug("event=ssh-not-ready address=%s reason=%r", address, missing)
            else:
                log.debug("event=ssh-ready address=%s server=%r", address, identification)
                progress(Event("boot", "SSH answers"))
                return address
        left = deadline - clock()
        if left <= 0:
            raise Unreachable(
                f"The pod did not answer over SSH within {timeout:g} s: {missing}",
                hint="devpod-rp logs shows what the container says; a large image may just need more time.",
            )
        pause(min(seconds, left))
        seconds = min(seconds * 1.5, _LONGEST_PAUSE_SECONDS)
