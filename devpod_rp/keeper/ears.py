"""Hearing of changes on both sides, as long as the systems allow it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devpod_rp.errors import DevpodError, UnreachableError
from devpod_rp.keeper.parts import Deliver, Parts, Watching
from devpod_rp.pod.link import AgentRefused

if TYPE_CHECKING:
    from devpod_rp.pod.link import AgentLink
    from devpod_rp.sync.remote import RemoteNews
    from devpod_rp.sync.session import Session

log = logging.getLogger(__name__)


class Ears:
    """At most one watcher on *folder*. Without one, cycles find changes by looking."""

    def __init__(self, folder: Path, session: Session, parts: Parts, deliver: Deliver) -> None:
        self._folder = folder
        self._session = session
        self._watch = parts.watch
        self._deliver = deliver
        self._watcher: Watching | None = None
        self._rules: list[Any] = []
        self._failure: str | None = None

    @property
    def problem(self) -> str | None:
        """Why changes here may be heard of late, if so."""
        limit = self._watcher.problem if self._watcher is not None else None
        why = self._failure or limit
        return None if why is None else f"changes here are found by looking now and then; watching failed: {why}"

    def open(self) -> None:
        """Watch from now on: what happens after this returns is heard of. Harmless when watching already."""
        if self._watcher is not None:
            return
        try:
            self._watcher = self._watch(self._folder, self._takes_part, self._deliver)
            self._rules = self._session.rules()
            self._failure = None
        except OSError as error:
            log.warning("watch=failed error=%s", error)
            self._failure = str(error)

    def follow_rules(self) -> None:
        """Watch what the rules of the last scan keep."""
        rules = self._session.rules()
        if self._watcher is not None and rules != self._rules:
            self._rules = rules
            self._watcher.refresh()

    def catch_up(self, seconds: float) -> bool:
        """Whether everything that happened before this call was delivered; False when nobody can tell."""
        return self._watcher is None or self._watcher.catch_up(seconds)

    def close(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.close()

    def _takes_part(self, path: str, is_folder: bool) -> bool:
        return not self._session.ignored(path, is_folder)


@dataclass(frozen=True)
class PodHeard:
    """News of the pod that *link* leads to."""

    link: AgentLink
    news: RemoteNews


class PodEars:
    """Hears of changes on the pod: at once where the mode makes them count, else when it is asked to catch up.

    *deaf* says why not everything is heard. *armed* counts how often listening began: while it stays the same and is
    not None, nothing was missed.
    """

    def __init__(self, session: Session, deliver: Callable[[PodHeard], None]) -> None:
        self._session = session
        self._deliver = deliver
        self._listens_to: tuple[Any, ...] | None = None
        self._began = 0
        self._marks = 0
        self._caught_up = threading.Condition()
        self._newest_mark = 0
        self.deaf: str | None = None
        self.armed: int | None = None

    @property
    def problem(self) -> str | None:
        """Why changes on the pod that matter may be heard of late, if so."""
        if self.deaf is None or not self._session.follows_the_pod:
            return None
        return f"changes on the pod are found by looking now and then: {self.deaf}"

    def open(self, link: AgentLink) -> bool:
        """Listen from now on, to the folder that is joined and by the rules of the last scan; True when a look at
        everything is due since either changed.

        Raises:
            UnreachableError: the connection died.
        """
        subject = (link, self._session.destination, self._session.rules())
        if subject == self._listens_to:
            return False
        follows = self._session.follows_the_pod
        again = follows and self._listens_to is not None and self._listens_to[0] is link
        self._listens_to, self.armed = subject, None
        self._began += 1
        news = self._session.listen()
        # Where nothing depends on it, the first look does not wait until the pod's folders are watched.
        if follows and not self._arm(self._began, news):
            return False
        ears = threading.Thread(
            target=self._listen, args=(link, self._began, news), name="devpod-rp-pod-ears", daemon=True
        )
        ears.start()
        return again

    def catch_up(self, seconds: float) -> bool:
        """Whether everything that happened on the pod before this call was delivered; False when nobody can tell.

        Raises:
            UnreachableError: the connection died.
        """
        if self.armed is None or self.deaf is not None:
            return False
        self._marks += 1
        mark = self._marks
        if not self._session.ask_pod(mark):
            return False
        with self._caught_up:
            self._caught_up.wait_for(lambda: self._newest_mark >= mark or self.armed is None, seconds)
            return self._newest_mark >= mark

    def _arm(self, number: int, news: Iterator[RemoteNews]) -> bool:
        try:
            first = next(news)
        except AgentRefused as refusal:
            if refusal.code != "not-found":
                raise
            self.deaf = refusal.message
            return False
        if number == self._began:
            self.deaf, self.armed = first.limit, number
        return True

    def _listen(self, link: AgentLink, number: int, heard: Iterator[RemoteNews]) -> None:
        try:
            if self.armed != number and not self._arm(number, heard):
                return
            for news in heard:
                if number == self._began:
                    self.deaf = news.limit
                self._deliver(PodHeard(link, news))
                if news.mark is not None:
                    with self._caught_up:
                        self._newest_mark = news.mark
                        self._caught_up.notify_all()
        except UnreachableError:
            return  # the keeper learns that itself
        except DevpodError as error:
            log.warning("pod-watch=ended error=%s", error.message)
            with self._caught_up:
                if number == self._began:
                    self.deaf, self.armed, self._listens_to = error.message, None, None
                self._caught_up.notify_all()
