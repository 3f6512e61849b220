"""Watching the account's money while nobody looks, and warning before RunPod's own rule ends pods."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from devpod_rp.agent.watchdog.limits import spoken
from devpod_rp.environments import Environment
from devpod_rp.lifecycle.money.runway import ALARM_HOURS, Runway, alarm

if TYPE_CHECKING:
    from devpod_rp.pod.link import AgentLink

log = logging.getLogger(__name__)

_LOOK_SECONDS = 900.0
_SAVED = {
    "network": "what is at risk is saved to the volume",
    "disk": "what is at risk is saved to the volume disk, which survives a stop and ends with the pod",
}


class Purse:
    """Looks at the balance now and then; says when it runs low, in the log, on the desktop and on the pod's terminals.

    Once for each threshold that is crossed. At the last one what is at risk is saved to the volume: a network volume
    outlives the end of the money, a volume disk at least the stop by which somebody makes it last longer.
    """

    def __init__(
        self,
        runway_of: Callable[[Environment], Runway],
        notify: Callable[[str, str], None],
        rescue: Callable[[str], str | None],
    ) -> None:
        self._runway_of = runway_of
        self._notify = notify
        self._rescue = rescue
        self._look_at = 0.0
        self._said: float | None = None
        self._runway: Runway | None = None

    def status(self) -> dict[str, Any] | None:
        """The last look, None before the first."""
        return None if self._runway is None else self._runway.as_json()

    def look(self, environment: Environment, link: AgentLink, now: float) -> None:
        """Look if it is time to, and warn if there is something new to warn of.

        Raises:
            DevpodError: the cloud or the pod did not answer; the next look is taken at its time.
        """
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        self._runway = runway = self._runway_of(environment)
        crossed = alarm(runway.hours_left, self._said)
        if crossed is None:
            if not runway.low:
                self._said = None
            return
        self._said = crossed
        assert runway.hours_left is not None
        left = spoken(runway.hours_left * 3600)
        fate = next((each.fate for each in runway.consumers if each.id == environment.pod_id), "untouched")
        text = f"the account's money ends in {left} at ${runway.burn:.2f}/h; this pod is then {fate}"
        log.warning("money=low balance=%s hours=%.1f", runway.balance, runway.hours_left)
        self._notify(f"devpod-rp: {environment.name}", text + self._advice(environment))
        if crossed == ALARM_HOURS[-1] and environment.volume.kind != "none":
            refused = self._rescue(environment.name)
            text += f"; {_SAVED[environment.volume.kind]}" if refused is None else f"; not saved: {refused}"
        link.call("watchdog.say", text=text)

    @staticmethod
    def _advice(environment: Environment) -> str:
        if environment.volume.kind == "network":
            return ""
        return f". devpod-rp rescue --download DIR {environment.name} brings what matters here"
