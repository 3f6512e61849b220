"""Knowing all the time about how much a stop would destroy, for less than a hundredth of the pod's processor."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from devpod_rp.environments import Environment
from devpod_rp.lifecycle.risk.stakes import Stake

if TYPE_CHECKING:
    from devpod_rp.pod.link import AgentLink

log = logging.getLogger(__name__)

_LEAST_SECONDS = 300.0
# A look may take this share of one processor on average.
_SHARE = 0.005


class Lookout:
    """Looks when a link is new and then at intervals that keep the cost of looking below half a per cent."""

    def __init__(self, stake_of: Callable[[Environment, AgentLink], Stake]) -> None:
        self._stake_of = stake_of
        self._seen_through: AgentLink | None = None
        self._look_at = 0.0
        self._state: dict[str, Any] | None = None

    def status(self) -> dict[str, Any] | None:
        """``{files, bytes, checked_at}`` of the last look, None before the first on this pod."""
        return self._state

    def look(self, environment: Environment, link: AgentLink, now: float) -> None:
        """Look if it is time to; *now* is Unix time.

        Raises:
            DevpodError: the pod did not answer; the next look is taken at its time.
        """
        if link is self._seen_through and now < self._look_at:
            return
        if link is not self._seen_through:
            self._state = None  # it may be another pod
        self._seen_through, self._look_at = link, now + _LEAST_SECONDS
        stake = self._stake_of(environment, link)
        self._look_at = now + max(_LEAST_SECONDS, stake.cpu_seconds / _SHARE)
        checked_at = datetime.fromtimestamp(now, timezone.utc).isoformat(timespec="seconds")
        self._state = {"files": stake.files, "bytes": stake.bytes, "checked_at": checked_at}
        log.info("at-risk files=%d bytes=%d cpu=%.2f", stake.files, stake.bytes, stake.cpu_seconds)
