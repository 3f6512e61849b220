"""Making sure that the agent still answers, whatever the rest of the keeper is busy with."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from devpod_rp.errors import DevpodError
from devpod_rp.keeper.state import Timing
from devpod_rp.waking import until_next

if TYPE_CHECKING:
    from devpod_rp.pod.link import AgentLink

log = logging.getLogger(__name__)


class Heartbeat:
    """Pings *link* until :meth:`stop`; a link that shows no sign of life is closed, which ends every call on it.

    *on_dead* is told once, from the heartbeat's thread.
    """

    def __init__(self, link: AgentLink, timing: Timing, on_dead: Callable[[AgentLink, str], None]) -> None:
        self._link = link
        self._timing = timing
        self._on_dead = on_dead
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="devpod-rp-heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(until_next(self._timing.ping_seconds, time.monotonic())):
            why = self._death()
            if why is not None and not self._stopped.is_set():
                log.warning("heartbeat=dead reason=%s", why)
                self._link.close()
                self._on_dead(self._link, why)
                return

    def _death(self) -> str | None:
        """Why the link is dead, or None."""
        try:
            self._link.ping(self._timing.dead_seconds)
        except DevpodError as error:
            return error.message
        return None
