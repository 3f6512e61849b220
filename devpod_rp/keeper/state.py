"""What a keeper does next, and when. Pure: time comes in as a number, nothing is touched.

The life of a keeper::

    disconnected --connect--> connecting --linked--> watching <--cycle--> syncing
         ^                        |                     |
         +---- failed, lost ------+---------------------+        paused and halted lie over all of these

"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import Enum

from devpod_rp.waking import until_next


@dataclass(frozen=True)
class Timing:
    """Every interval of a keeper, in seconds. After more than *wake_seconds* of sleep the pod has *answer_seconds* to
    show that the connection outlived it."""

    ping_seconds: float = 15.0
    dead_seconds: float = 15.0
    full_seconds: float = 60.0
    blind_seconds: float = 10.0
    poll_seconds: float = 15.0
    first_backoff_seconds: float = 1.0
    longest_backoff_seconds: float = 30.0
    tick_seconds: float = 5.0
    settle_seconds: float = 0.15
    catch_up_seconds: float = 2.0
    deferred_seconds: float = 0.5
    wake_seconds: float = 30.0
    answer_seconds: float = 5.0

    def backoff(self, failures: int) -> float:
        """How long to wait after *failures* failures in a row: 1, 2, 4, … 30."""
        return min(self.longest_backoff_seconds, self.first_backoff_seconds * 2.0 ** min(failures - 1, 30))


class Line(Enum):
    """The connection to the pod."""

    DOWN = "down"
    CONNECTING = "connecting"
    UP = "up"


class Step(Enum):
    """What the loop does next."""

    WAIT = "wait"
    CONNECT = "connect"
    QUICK = "quick"
    FLUSH = "flush"
    FULL = "full"


@dataclass(frozen=True)
class State:
    """Where a keeper stands; times are those of a monotonic clock.

    *reason* says why it is not simply watching. *paths* (here) and *remote_paths* were heard of and not yet
    synchronised. *flushing* means that somebody waits until everything is synchronised, which therefore must not wait
    for its time. *sure* says that both sides are listened to since before the last look at everything.
    """

    timing: Timing
    line: Line = Line.DOWN
    paused: bool = False
    halted: bool = False
    flushing: bool = False
    sure: bool = False
    reason: str | None = None
    paths: frozenset[str] = frozenset()
    remote_paths: frozenset[str] = frozenset()
    failures: int = 0
    stumbles: int = 0
    connect_at: float = 0.0
    full_at: float = 0.0
    quick_at: float | None = None

    def next_step(self, now: float) -> tuple[Step, float]:
        """The step to take now; for WAIT also the longest time to wait for news."""
        longest = until_next(self.timing.tick_seconds, now)
        if self.line is Line.DOWN:
            if self.flushing or now >= self.connect_at:
                return Step.CONNECT, 0.0
            return Step.WAIT, min(longest, self.connect_at - now)
        if self.line is Line.CONNECTING or self.paused:
            return Step.WAIT, longest
        if now >= self.full_at or (self.flushing and not self.sure):
            return Step.FULL, 0.0
        if self.flushing:
            return Step.FLUSH, 0.0
        if self.quick_at is not None and now >= self.quick_at:
            return Step.QUICK, 0.0
        due = self.full_at if self.quick_at is None else min(self.full_at, self.quick_at)
        return Step.WAIT, min(longest, due - now)

    def shown(self, session_state: str) -> str:
        """The state as users see it, given what the session says of itself."""
        if self.paused:
            return "paused"
        if self.halted:
            return "halted"
        if self.line is not Line.UP:
            return "disconnected"
        if session_state == "disconnected" and self.stumbles == 0:
            return "scanning"  # the connection is new, and the session about to look at both sides
        return session_state

    # The connection.

    def connecting(self) -> State:
        return dataclasses.replace(self, line=Line.CONNECTING, reason=self.reason or "connecting")

    def linked(self, now: float) -> State:
        """A connection is there; whatever happened while there was none, a full cycle finds.

        The failures count on until a cycle went through, so that a pod which accepts connections and breaks them is
        not pestered.
        """
        return dataclasses.replace(self, line=Line.UP, reason=None, stumbles=0, full_at=now, sure=False)

    def failed(self, reason: str, now: float) -> State:
        """The connection could not be made: try again, more patiently each time."""
        failures = self.failures + 1
        return self._down(reason, now + self.timing.backoff(failures), failures)

    def lost(self, reason: str, now: float) -> State:
        """The connection broke. One that worked is most often back at once."""
        return self.failed(reason, now) if self.failures else self._down(reason, now, 1)

    def pod_rests(self, reason: str, now: float) -> State:
        """The pod does not run. Only its user starts it; we look now and then whether somebody did."""
        return self._down(reason, now + self.timing.poll_seconds, 0)

    def _down(self, reason: str, connect_at: float, failures: int) -> State:
        return dataclasses.replace(
            self, line=Line.DOWN, reason=reason, connect_at=connect_at, failures=failures, quick_at=None
        )

    # The folder.

    def heard(self, paths: frozenset[str], full: bool, now: float, remote_paths: frozenset[str] = frozenset()) -> State:
        """Something changed, here or on the pod. While halted, that is a reason to see soon whether the halt stands."""
        known = dataclasses.replace(self, paths=self.paths | paths, remote_paths=self.remote_paths | remote_paths)
        if self.stumbles:
            return known  # the retry has its time; events must not turn it into a storm
        if self.halted:
            return dataclasses.replace(known, full_at=min(self.full_at, now + self.timing.tick_seconds))
        if full:
            return dataclasses.replace(known, full_at=now, sure=False)
        if not paths and not remote_paths:
            return known
        return dataclasses.replace(known, quick_at=now)

    # Cycles.

    def synchronised(
        self,
        deferred: frozenset[str],
        full: bool,
        now: float,
        remark: str | None = None,
        *,
        follows_the_pod: bool = False,
        blind: bool = False,
        sure: bool = False,
    ) -> State:
        """A cycle went through; *deferred* were being written meanwhile, and *remark* is what a user should know.

        *blind*: not everything is watched, so everything is looked at more often. *sure*: both sides were listened to
        all the while.
        """
        full_seconds = self.timing.blind_seconds if blind else self.timing.full_seconds
        return dataclasses.replace(
            self,
            halted=False,
            reason=remark,
            failures=0,
            stumbles=0,
            paths=deferred,
            remote_paths=deferred if follows_the_pod else frozenset(),
            quick_at=now + self.timing.deferred_seconds if deferred else None,
            full_at=now + full_seconds if full else self.full_at,
            sure=sure if full else self.sure,
        )

    def halt(self, reason: str, now: float) -> State:
        """The session refuses to go on; it is asked again now and then, because the cause may go away by itself."""
        return dataclasses.replace(
            self, halted=True, reason=reason, quick_at=None, full_at=now + self.timing.full_seconds, sure=False
        )

    def stumbled(self, reason: str, now: float) -> State:
        """A cycle failed though the connection stands: everything is looked at again after a while."""
        stumbles = self.stumbles + 1
        at = now + self.timing.backoff(stumbles)
        return dataclasses.replace(self, stumbles=stumbles, reason=reason, quick_at=None, full_at=at, sure=False)

    # The user.

    def pause(self) -> State:
        return dataclasses.replace(self, paused=True)

    def flush(self, wanted: bool) -> State:
        return dataclasses.replace(self, flushing=wanted)

    def unsure(self) -> State:
        """What was heard is not enough: the next flush looks at everything."""
        return dataclasses.replace(self, sure=False)

    def resume(self, now: float) -> State:
        """Go on, also after a halt; everything is looked at, because nothing was while paused."""
        return dataclasses.replace(
            self, paused=False, halted=False, stumbles=0, full_at=now, connect_at=min(self.connect_at, now), sure=False
        )

    def woke(self, now: float) -> State:
        """The machine slept: neither events nor timers can be trusted."""
        return dataclasses.replace(self, full_at=now, connect_at=min(self.connect_at, now), sure=False)
