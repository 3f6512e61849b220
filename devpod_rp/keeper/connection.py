"""The keeper's connection: made in the background, watched by a heartbeat, dropped in one place."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devpod_rp.keeper.connecting import Connector, Linked, Outcome
from devpod_rp.keeper.heartbeat import Heartbeat
from devpod_rp.keeper.parts import Parts

if TYPE_CHECKING:
    from devpod_rp.pod.link import AgentLink


@dataclass(frozen=True)
class LinkDead:
    """The heartbeat found *link* dead."""

    link: AgentLink
    reason: str


class Connection:
    """At most one link to the pod. Outcomes of attempts and deaths of links go to *deliver*, from other threads."""

    def __init__(self, name: str, parts: Parts, deliver: Callable[[Outcome | LinkDead], None]) -> None:
        self._timing = parts.timing
        self._deliver = deliver
        self._connector = Connector(name, parts.refresh, parts.revive, parts.notify, parts.open_link, self._arrived)
        self._heartbeat: Heartbeat | None = None
        self._lock = threading.Lock()
        self._closed = False
        self.link: AgentLink | None = None

    def start(self) -> None:
        """Begin one attempt in the background."""
        self._connector.start()

    def take(self, link: AgentLink) -> None:
        """Use *link* from now on."""
        self.link = link
        self._heartbeat = Heartbeat(link, self._timing, lambda dead, why: self._deliver(LinkDead(dead, why)))

    def drop(self) -> None:
        """Close the link, if there is one."""
        link, self.link = self.link, None
        if self._heartbeat is not None:
            self._heartbeat.stop()
            self._heartbeat = None
        if link is not None:
            link.close()

    def break_off(self) -> None:
        """End every call that waits on the link, from whatever thread; the loop then finds it lost."""
        link = self.link
        if link is not None:
            link.close()

    def close(self) -> None:
        """Drop the link, and close one that an attempt still under way may bring."""
        with self._lock:
            self._closed = True
        self.drop()

    def _arrived(self, outcome: Outcome) -> None:
        with self._lock:
            if not self._closed:
                self._deliver(outcome)
                return
        if isinstance(outcome, Linked):
            outcome.link.close()
