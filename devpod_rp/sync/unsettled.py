"""What the pod has, and would lose if its power failed now."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Protocol

from devpod_rp.pod.errors import AgentRefused

log = logging.getLogger(__name__)


class Answer(Protocol):
    """What the pod says to one ``files.settle``; see `pod.link.Answer`."""

    @property
    def has_come(self) -> bool: ...

    def __call__(self) -> object: ...


class Unsettled:
    """Paths of which the pod acknowledged a version that its disk may not have yet, and what it is asked about them.

    One question is under way at a time: a disk that is busy for a minute holds nothing up.
    """

    def __init__(self) -> None:
        self._paths: set[str] = set()
        self._asked: tuple[Answer, set[str]] | None = None
        self._ask_next: Callable[[], Answer] | None = None

    def __bool__(self) -> bool:
        return bool(self._paths or self._asked)

    @property
    def waits(self) -> bool:
        """Whether there is a question that the pod has not answered."""
        return self._asked is not None

    def add(self, paths: Collection[str]) -> None:
        """They were changed on the pod a moment ago."""
        self.discard(paths)  # what was asked is not about this
        self._paths.update(paths)

    def discard(self, paths: Collection[str]) -> None:
        """There is something newer to know about them."""
        self._paths.difference_update(paths)
        if self._asked is not None:
            self._asked[1].difference_update(paths)

    def ask(self, question: Callable[[], Answer]) -> None:
        """Ask the pod about all paths that it was not asked about yet, at the latest when it has answered the question
        that is under way. Raises LinkLost."""
        self._ask_next = question
        self._go_on()

    def take(self, *, wait: bool) -> set[str] | None:
        """The paths that the next answer makes sure of; None when there is none (yet). Raises LinkLost."""
        if self._asked is None or not (wait or self._asked[0].has_come):
            return None
        (answer, paths), self._asked = self._asked, None
        try:
            answer()
        except AgentRefused as refusal:  # they belong to the next question
            log.warning("settle=refused code=%s message=%s", refusal.code, refusal.message)
            self._paths |= paths
            return set()
        except BaseException:
            self._paths |= paths
            raise
        self._go_on()
        return paths

    def forget_questions(self) -> None:
        """Whoever was asked is gone."""
        if self._asked is not None:
            self._paths |= self._asked[1]
        self._asked = self._ask_next = None

    def clear(self) -> None:
        self.forget_questions()
        self._paths = set()

    def _go_on(self) -> None:
        if self._asked is None and self._ask_next is not None:
            question, self._ask_next = self._ask_next, None
            if self._paths:
                self._asked = question(), self._paths
                self._paths = set()
