"""Seeing to it that the pod's limits hold: keeps the watchdog's orders fresh, and stops the pod when it says so.

The watchdog in the pod looks and decides. While the laptop is awake, the stop itself is ours: it flushes the
synchronisation, lets the guard look, and writes the record.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devpod_rp import environments
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.agent.watchdog.limits import STOP, WARN, Facts, Limits, decide
from devpod_rp.environments import Environment
from devpod_rp.errors import DevpodError
from devpod_rp.keeper.lookout import Lookout
from devpod_rp.keeper.purse import Purse
from devpod_rp.lifecycle.limits import last_word_file

if TYPE_CHECKING:
    from devpod_rp.lifecycle.money.runway import Runway
    from devpod_rp.lifecycle.risk.stakes import Stake
    from devpod_rp.pod.link import AgentLink

log = logging.getLogger(__name__)

_HELD_SECONDS = 600.0


@dataclass(frozen=True)
class Oversight:
    """The edges of an overseer.

    *deliver* hands the present limits to the pod. *end* stops the pod, rescue first, and returns None, or the reason
    why the pod runs on; it may end this very keeper. *runway_of* tells how long the account's money lasts, *stake_of*
    what a stop would destroy. *rescue* saves that to the volume and returns None, or what stood in the way.
    """

    limits_of: Callable[[Environment], Limits]
    deliver: Callable[[Environment, AgentLink], object]
    end: Callable[[str], str | None]
    runway_of: Callable[[Environment], Runway]
    stake_of: Callable[[Environment, AgentLink], Stake]
    rescue: Callable[[str], str | None]
    seconds: float = 20.0


class Overseer:
    """Watches over environment *name* in a thread of its own until :meth:`close`; *link* gives the present link."""

    def __init__(
        self,
        name: str,
        oversight: Oversight,
        link: Callable[[], AgentLink | None],
        wall: Callable[[], float],
        notify: Callable[[str, str], None],
    ) -> None:
        self._name = name
        self._oversight = oversight
        self._link = link
        self._wall = wall
        self._closed = threading.Event()
        self._purse = Purse(oversight.runway_of, notify, oversight.rescue)
        self._lookout = Lookout(oversight.stake_of)
        self._served: AgentLink | None = None
        self._again_at = 0.0
        self._held: str | None = None
        self._state: dict[str, Any] | None = None
        self._thread = threading.Thread(target=self._run, name="devpod-rp-overseer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()

    def status(self) -> dict[str, Any] | None:
        """What the watchdog said last, with our own reason if a stop that is due does not succeed; None if unknown."""
        state = self._state  # another thread may be about to forget it
        return None if state is None else {**state, "held": self._held or state["held"]}

    def money(self) -> dict[str, Any] | None:
        """The account's runway as it was seen last; None before the first look."""
        return self._purse.status()

    def at_risk(self) -> dict[str, Any] | None:
        """What a stop would destroy, as it was seen last; None before the first look."""
        return self._lookout.status()

    def _run(self) -> None:
        while not self._closed.wait(self._pause()):
            try:
                self._look()
            except DevpodError as error:
                self._served = None
                log.warning("oversight=failed error=%s", error.message)
            except Exception:
                # Limits that nobody enforces cost money: whatever it was, the next look is taken.
                self._served = None
                log.exception("oversight=unexpected")

    def _pause(self) -> float:
        return 1.0 if self._served is None and self._link() is not None else self._oversight.seconds

    def _look(self) -> None:
        environment = environments.load(self._name)
        link, now = self._link(), self._wall()
        limits = self._oversight.limits_of(environment)
        if link is not None:
            if link is not self._served:
                self._oversight.deliver(environment, link)
                self._served = link
            self._look_beside(environment, link, now)
            if not limits.any:
                self._state = None
                last_word_file(self._name).unlink(missing_ok=True)
                return
            answer = link.call("watchdog.state").header
            if not answer["running"]:
                self._served = None
            if answer["state"] is not None and (self._state or {}).get("at") != answer["state"]["at"]:
                self._note(answer["state"])
            verdict = answer["state"]["action"] if answer["state"] is not None else None
        else:
            self._served = None
            verdict = self._alone(limits, now)
        if verdict == STOP and now >= self._again_at:
            self._end()
        elif verdict != STOP:
            self._held, self._again_at = None, 0.0

    def _look_beside(self, environment: Environment, link: AgentLink, now: float) -> None:
        """Limits hold whether or not anybody can tell the balance, or what is at risk."""
        for what, look in (("money", self._purse.look), ("at-risk", self._lookout.look)):
            try:
                look(environment, link, now)
            except DevpodError as error:
                log.warning("%s=unknown error=%s", what, error.message)

    def _alone(self, limits: Limits, now: float) -> str | None:
        """What holds without any look at the pod: money, runtime and a planned stop."""
        if self._state is None or environments.load(self._name).status != "RUNNING":
            return None
        facts = Facts(self._state["started_at"], laptop_at=now)
        return decide(limits, facts, (), now).action

    def _note(self, state: dict[str, Any]) -> None:
        before, self._state = self._state, state
        if state["action"] in (WARN, STOP) and (before is None or before["reason"] != state["reason"]):
            log.warning("limits=%s reason=%s due=%s", state["action"], state["reason"], state["due"])
        write_atomically(last_word_file(self._name), json.dumps(state, indent=2).encode("ascii"))

    def _end(self) -> None:
        log.warning("limits=ending reason=%s", self._state["reason"] if self._state else "no sight of the pod")
        self._held = self._oversight.end(self._name)
        self._again_at = self._wall() + _HELD_SECONDS
        if self._held is not None:
            log.error("limits=held reason=%s", self._held)
