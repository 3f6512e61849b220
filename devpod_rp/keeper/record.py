"""What the environment's record says now: commands save it, and delete it, while its keeper runs."""

from __future__ import annotations

import logging

from devpod_rp import environments
from devpod_rp.environments import Environment

log = logging.getLogger(__name__)


class Record:
    """The record of one environment, read again when it was saved."""

    def __init__(self, environment: Environment) -> None:
        self.last_read = environment
        self._stamp: tuple[int, int] | None = None

    def is_there(self) -> bool:
        """Look whether there still is one of this environment, not of another with its name; one that cannot be read
        is."""
        name = self.last_read.name
        stamp = environments.stamp(name)
        if stamp is not None and stamp == self._stamp:
            return True
        try:
            found = environments.find(name)
        except environments.CorruptRecord as error:
            log.warning("record=unreadable error=%s", error.message)
            return True
        if found is None or found.id != self.last_read.id:
            return False
        self.last_read, self._stamp = found, stamp
        return True
