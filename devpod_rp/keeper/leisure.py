"""What a keeper does while there is no news: it looks ahead, and remembers what it learnt."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from devpod_rp.errors import SyncError
from devpod_rp.keeper.ears import Ears
from devpod_rp.keeper.inbox import Inbox
from devpod_rp.keeper.memory import give_back
from devpod_rp.sync.status import SyncHalted

if TYPE_CHECKING:
    from devpod_rp.sync.session import Session

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 0.1


class Leisure:
    """That of a keeper with *session*, which hears with *ears* and breaks off for what comes to *inbox*."""

    def __init__(self, session: Session, ears: Ears, inbox: Inbox) -> None:
        self._session = session
        self._ears = ears
        self._inbox = inbox
        self._rested = True

    def over(self) -> None:
        """Something is about to be learnt, which :meth:`remember` has to remember."""
        self._rested = False

    def look_ahead(self) -> None:
        """While a connection is being made, look at the folder here, where the watcher hears what follows."""
        self._ears.open()
        if self._ears.problem is None:
            self.over()
            try:
                self._session.look_ahead(lambda: not self._inbox.empty)
            except SyncHalted as halt:
                log.info("ahead=nothing reason=%s", halt.reason)  # the cycle says so, with its way out

    def remember(self) -> float:
        """Remember what was learnt. Returns after how many seconds there is more to do."""
        if not self._inbox.empty or self._rested:
            return math.inf
        if not self._session.settled():
            return _AGAIN_SECONDS  # a pod's disk may be busy for long, and an edit would wait with us
        try:
            if self._session.rest():
                give_back()
            self._rested = True
        except SyncError as error:
            log.warning("digests=kept-for-later error=%s", error.message)  # it costs time after a restart, no more
        return math.inf
