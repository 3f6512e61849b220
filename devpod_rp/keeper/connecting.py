"""Making the connection to the pod, in a thread of its own because it may take half a minute."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devpod_rp import environments
from devpod_rp.environments import Environment, EnvironmentBusy
from devpod_rp.errors import DevpodError

if TYPE_CHECKING:
    from devpod_rp.pod.link import AgentLink

log = logging.getLogger(__name__)

Refresh = Callable[[Environment], Environment]
OpenLink = Callable[[Environment], "AgentLink"]


@dataclass(frozen=True)
class Linked:
    link: AgentLink


@dataclass(frozen=True)
class PodRests:
    """There is no running pod to connect to, and starting one is not ours."""

    reason: str


@dataclass(frozen=True)
class ConnectFailed:
    reason: str


Outcome = Linked | PodRests | ConnectFailed


class Connector:
    """Connects in the background and hands each outcome to *deliver*; one attempt at a time."""

    def __init__(
        self,
        name: str,
        refresh: Refresh,
        revive: Refresh,
        notify: Callable[[str, str], None],
        open_link: OpenLink,
        deliver: Callable[[Outcome], None],
    ) -> None:
        self._name = name
        self._refresh = refresh
        self._revive = revive
        self._notify = notify
        self._outbid = False
        self._open_link = open_link
        self._deliver = deliver
        self._fresh_record = True

    def start(self) -> None:
        # A daemon: an attempt that the end of the process cuts off has nothing that could be lost.
        threading.Thread(target=self._attempt, name="devpod-rp-connect", daemon=True).start()

    def _attempt(self) -> None:
        try:
            outcome = self._connect()
        except DevpodError as error:
            outcome = ConnectFailed(error.message)
        except Exception as error:
            log.exception("connect=unexpected")
            outcome = ConnectFailed(f"unexpected: {type(error).__name__}: {error}")
        self._deliver(outcome)

    def _connect(self) -> Outcome:
        environment = environments.load(self._name)
        # Whoever starts a keeper has just written the record; any later attempt asks the cloud first, because a pod
        # gets another port at every start.
        if not (self._fresh_record and environment.status == "RUNNING"):
            environment = self._refreshed(environment)
        self._fresh_record = False
        if environment.status != "RUNNING" or environment.pod_id is None:
            return PodRests(f"the pod is {environment.status}" if environment.pod_id else "there is no pod")
        return Linked(self._open_link(environment))

    def _refreshed(self, environment: Environment) -> Environment:
        """The record after a look at the cloud; a spot pod that the market ended is brought back."""
        try:
            with environments.locked(self._name, timeout_seconds=0):
                seen = self._looked_up(environments.load(self._name))
                return self._revived(seen) if seen.bid_per_gpu is not None and seen.status == "EXITED" else seen
        except EnvironmentBusy as busy:
            # A command is changing the environment; it writes the record, and we read what it wrote.
            log.info("refresh=left-to holder=%s", busy.holder)
            return environments.load(self._name)

    def _revived(self, environment: Environment) -> Environment:
        """A spot pod brought back. Only what the market ended is started: nobody else's stop is ours to undo."""
        try:
            back = self._revive(environment)
        except DevpodError as error:
            if not self._outbid:
                self._notify(f"{self._name} was outbid", error.message)
            self._outbid = True
            raise
        if back.status == "RUNNING":
            self._notify(f"{self._name} is back", f"Its pod runs again, for ${back.cost_per_hour or 0.0:.2f}/h.")
            self._outbid = False
        return back

    def _looked_up(self, environment: Environment) -> Environment:
        """The record as the cloud has it, or as it is if the look fails: the old address may still be good."""
        try:
            return self._refresh(environment)
        except DevpodError as error:
            if environment.status != "RUNNING":
                raise
            log.warning("refresh=failed error=%s", error.message)
            return environment
