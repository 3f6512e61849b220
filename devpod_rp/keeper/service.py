"""The keeper itself: one loop that owns the session, and the threads that bring it news."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devpod_rp import environments
from devpod_rp.control import ControlServer
from devpod_rp.environments import pauses
from devpod_rp.errors import DevpodError, SyncError, UnreachableError, UsageError
from devpod_rp.keeper.choices import CHOICES, explain
from devpod_rp.keeper.clock import Drift
from devpod_rp.keeper.connecting import ConnectFailed, Linked, PodRests
from devpod_rp.keeper.connection import Connection, LinkDead
from devpod_rp.keeper.cycles import Cycles, Done
from devpod_rp.keeper.ears import Ears, PodEars, PodHeard
from devpod_rp.keeper.inbox import Inbox
from devpod_rp.keeper.leisure import Leisure
from devpod_rp.keeper.lender import Lender
from devpod_rp.keeper.overseer import Overseer
from devpod_rp.keeper.parts import Parts
from devpod_rp.keeper.record import Record
from devpod_rp.keeper.requests import Desk, Request
from devpod_rp.keeper.state import Line, State, Step
from devpod_rp.keeper.tunnels import TUNNEL_OPS, Tunnels
from devpod_rp.keeper.waiting import Waiting
from devpod_rp.pod.link import LinkLost
from devpod_rp.sync.status import SyncHalted, VolumeFullError
from devpod_rp.sync.watch import Batch

if TYPE_CHECKING:
    from devpod_rp.pod.link import AgentLink

log = logging.getLogger(__name__)


class Keeper:
    """Keeps environment *name* in sync and in touch until it is told to stop, or until its record disappears.

    The caller holds the keeper's lock. :meth:`run` belongs to one thread; :meth:`stop` may be called from any.
    """

    def __init__(self, name: str, parts: Parts) -> None:
        self._name = name
        self._parts = parts
        self._clock = parts.clock
        self._environment = environments.load(name)
        self._started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._inbox = Inbox(parts.clock)
        self._desk = Desk(self._inbox.put)
        # Without synchronisation the keeper only connects: for tunnels and limits.
        self._synchronises = bool(self._environment.spec["sync"]["enabled"])
        self._state = State(parts.timing, paused=pauses.is_paused(name) or not self._synchronises)
        self._connection = Connection(name, parts, self._inbox.put)
        self._tunnels = Tunnels(name, lambda: self._connection.link, parts.serve)
        self._lender = Lender(
            lambda: tuple(environments.load(name).spec.get("git_credentials", ())),
            lambda question: parts.credentials(environments.load(name), question),
        )
        self._session = parts.open_session(self._environment)
        self._pod_ears = PodEars(self._session, self._inbox.put)
        self._cycles = Cycles(self._session, self._settle, self._listen)
        self._ears = Ears(Path(self._environment.folder), self._session, parts, self._inbox.put)
        self._drift = Drift(self._clock, parts.timing.wake_seconds)
        self._record, self._record_at = Record(self._environment), 0.0
        self._waiting = Waiting(lambda anybody: self._become(self._state.flush(anybody)))
        self._working = False
        self._leisure = Leisure(self._session, self._ears, self._inbox)
        self._ending = threading.Event()
        self._overseer: Overseer | None = None

    # What other threads call.

    def stop(self) -> None:
        """Make :meth:`run` return soon, also out of a cycle, which is safe to break off anywhere."""
        self._ending.set()
        self._inbox.put(None)
        if self._working:
            self._connection.break_off()

    def handle(self, op: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Answer one request of the control socket."""
        if op == "status":
            return self.status()
        if op == "stop":
            self.stop()
            return {}
        if op == "pause":
            # On disk first: a pause outlives whatever happens now.
            pauses.remember_paused(self._name, True)
            waiting = self._desk.hand_in(op, fields)
            if self._working:
                self._connection.break_off()
            return self._desk.result_of(waiting)
        if op in TUNNEL_OPS:
            TUNNEL_OPS[op](self._tunnels, fields)
            return {"forwards": self._tunnels.status()}
        if op in ("flush", "resume", "why", *CHOICES):
            if not self._synchronises:
                raise UsageError("Nothing is synchronised here.", hint="set sync.enabled to true, and devpod-rp up.")
            return self._desk.result_of(self._desk.hand_in(op, fields))
        known = ", ".join(("status", "flush", "pause", "resume", "stop", "why", *CHOICES, *TUNNEL_OPS))
        raise UsageError(f"A keeper cannot {op!r}.", hint=f"it can {known}.")

    def status(self) -> dict[str, Any]:
        """How things stand, at once, also in the middle of a cycle."""
        session, state = self._session.status(), self._state
        return {
            **session.as_json(),
            "state": state.shown(session.state),
            "reason": state.reason or self._ears.problem or self._pod_ears.problem,
            "connected": state.line is Line.UP,
            "attempts": state.failures,
            "pid": os.getpid(),
            "since": self._started_at,
            "limits": self._overseer.status() if self._overseer else None,
            "money": self._overseer.money() if self._overseer else None,
            "at_risk": self._overseer.at_risk() if self._overseer else None,
            "forwards": self._tunnels.status(),
        }

    # The loop.

    def run(self) -> None:
        """Keep going until the end; the session is closed and every request answered when this returns."""
        server = ControlServer(self._name, self.handle)
        if self._parts.oversight is not None:
            self._overseer = Overseer(
                self._name,
                self._parts.oversight,
                lambda: self._connection.link,
                self._clock.wall,
                self._parts.notify,
            )
        log.info("keeper=started name=%s pid=%d", self._name, os.getpid())
        try:
            while not self._ending.is_set():
                self._guarded_turn()
        finally:
            if self._overseer is not None:
                self._overseer.close()
            self._desk.close()
            server.close()
            self._tunnels.close()
            self._session.close()  # while there is a connection, in which the pod may still settle what it was sent
            self._connection.close()
            self._close_late_arrivals()
            self._ears.close()
            log.info("keeper=ended name=%s", self._name)

    def _guarded_turn(self) -> None:
        try:
            self._turn()
        except Exception as error:  # whatever it is, the next turn starts from a new connection
            log.exception("keeper=unexpected")
            self._lose(f"unexpected: {type(error).__name__}: {error}", expected=False)
            self._waiting.refuse_all(DevpodError(f"{type(error).__name__}: {error}"))
            self._ending.wait(self._parts.timing.first_backoff_seconds)

    def _turn(self) -> None:
        self._look_around()
        # Set before the inbox is read: a pause that comes too late to be read here sees that it must break in.
        self._working = True
        try:
            self._read_inbox()
            step, seconds = self._state.next_step(self._clock.monotonic())
            if self._ending.is_set():
                return
            if step is Step.CONNECT:
                self._waiting.promise()
                self._become(self._state.connecting())
                self._connection.start()
            elif step is not Step.WAIT:
                full = step is Step.FULL or (step is Step.FLUSH and not self._heard_everything())
                if not self._state.paused:
                    self._cycle(full=full)
                    self._drift.mark()
        finally:
            self._working = False
        if step is Step.WAIT:
            again = self._use_the_time()
            self._take(self._inbox.next(min(seconds, again)))

    def _look_around(self) -> None:
        now = self._clock.monotonic()
        if now >= self._record_at:
            self._record_at = now + self._parts.timing.tick_seconds
            if not self._record.is_there():
                log.info("keeper=record-gone name=%s", self._name)
                self._ending.set()
                return
            self._tunnels.follow(self._record.last_read.spec.get("forward_ports", ()))
        if self._drift.slept():
            log.info("keeper=woke name=%s", self._name)
            self._become(self._state.woke(now))
            self._ping()
        link = self._connection.link
        if link is not None and not link.alive:
            self._lose("the connection to the pod is lost")

    def _ping(self) -> None:
        if self._connection.link is not None:
            try:
                self._connection.link.ping(self._parts.timing.answer_seconds)
            except LinkLost as lost:
                self._lose(lost.message)

    # News.

    def _read_inbox(self) -> None:
        for message in self._inbox.read():
            self._take(message)

    def _take(self, message: Any) -> None:
        now = self._clock.monotonic()
        if isinstance(message, Batch):
            self._become(self._state.heard(message.paths, message.full, now))
        elif isinstance(message, PodHeard):
            if message.link is self._connection.link:
                news = message.news
                self._become(self._state.heard(frozenset(), news.full, now, news.paths))
        elif isinstance(message, Request):
            self._take_request(message)
        elif isinstance(message, Linked):
            self._connection.take(message.link)
            self._tunnels.connected()
            self._lender.connected(message.link)
            self._become(self._state.linked(now))
        elif isinstance(message, PodRests | ConnectFailed):
            after = self._state.pod_rests if isinstance(message, PodRests) else self._state.failed
            self._become(after(message.reason, now))
            self._waiting.refuse_promised(
                UnreachableError(
                    f"{self._name} is not connected: {message.reason}.", hint=f"devpod-rp up {self._name} connects it."
                )
            )
        elif isinstance(message, LinkDead) and message.link is self._connection.link:
            self._lose(message.reason)

    def _take_request(self, request: Request) -> None:
        if request.op == "why":
            self._answer(request, lambda: explain(self._session, request.fields))
            return
        if request.op == "flush" or request.op in CHOICES:
            if self._state.paused:
                request.refuse(SyncError("The synchronisation is paused.", hint="devpod-rp sync resume"))
                return
            self._waiting.add(request)
            if request.op != "flush" or request.fields.get("everything"):
                self._become(self._state.unsure())
            return
        if request.op == "pause":
            self._become(self._state.pause())
            self._waiting.refuse_all(SyncError("The synchronisation was paused.", hint="devpod-rp sync resume"))
            request.fulfil(self.status())
            self._release()
        else:
            pauses.remember_paused(self._name, False)
            self._session.accept()
            self._cycles.detach()
            self._become(self._state.resume(self._clock.monotonic()))
            request.fulfil(self.status())

    def _release(self) -> None:
        """While this machine pauses, another one may synchronise."""
        try:
            self._session.release()
        except UnreachableError as lost:
            self._lose(lost.message)
        except DevpodError as error:
            log.warning("lease=kept error=%s", error.message)

    def _close_late_arrivals(self) -> None:
        for message in self._inbox.read():
            if isinstance(message, Linked):
                message.link.close()

    def _settle(self) -> frozenset[str]:
        """The paths heard of until the watcher is quiet for a moment; other news waits for the loop."""
        seconds = self._parts.timing.settle_seconds
        return self._inbox.settled(0.0 if self._ears.catch_up(seconds) else seconds)

    def _heard_everything(self) -> bool:
        """Take in what happened on both sides before this call; False when only a look at everything can tell."""
        seconds = self._parts.timing.catch_up_seconds
        try:
            sure = self._pod_ears.catch_up(seconds) and self._ears.problem is None and self._ears.catch_up(seconds)
        except UnreachableError:
            return False  # the cycle that follows deals with it
        self._read_inbox()
        return sure and self._state.sure and self._state.full_at > self._clock.monotonic()

    def _use_the_time(self) -> float:
        """Returns after how many seconds there is more to do."""
        if self._state.line is not Line.CONNECTING:
            return self._leisure.remember()
        if not self._state.paused:
            self._leisure.look_ahead()
        return math.inf

    def _listen(self, link: AgentLink) -> bool:
        self._ears.follow_rules()
        return self._pod_ears.open(link)

    # Cycles.

    def _cycle(self, *, full: bool) -> None:
        link, waiting = self._connection.link, self._waiting.all()
        assert link is not None
        if full:
            self._ears.open()
        armed = self._pod_ears.armed
        self._leisure.over()
        try:
            if waiting:
                done = self._cycles.flush(link, self._state.paths, None if full else self._state.remote_paths)
            elif full:
                done = self._cycles.full(link, self._state.paths)
            else:
                done = self._cycles.quick(link, self._state.paths, self._state.remote_paths)
        except UnreachableError as lost:
            # Those who wait go on waiting: a broken connection is most often back at once.
            self._lose(lost.message)
        except SyncHalted as halt:
            if halt.reason.startswith("local-"):
                self._ears.close()  # what is watched may be another folder by the next cycle
            self._become(self._state.halt(halt.message, self._clock.monotonic()))
            # Who asks for the plan wants to know just what the halt is about.
            plans = [each for each in waiting if each.op == "plan" and self._session.attached]
            self._waiting.refuse([each for each in waiting if each not in plans], halt)
            self._choose(plans)
        except VolumeFullError as error:
            after = self._state.synchronised(frozenset(), full, self._clock.monotonic(), remark=error.message)
            self._become(after)
            self._waiting.refuse(waiting, error)
        except DevpodError as error:
            log.warning("cycle=failed error=%s", error.message)
            self._become(self._state.stumbled(error.message, self._clock.monotonic()))
            self._waiting.refuse(waiting, error)
        else:
            blind = (self._ears.problem or self._pod_ears.problem) is not None
            sure = not blind and armed is not None and armed == self._pod_ears.armed
            now, both_ways = self._clock.monotonic(), self._session.follows_the_pod
            after = self._state.synchronised(
                done.deferred, full, now, follows_the_pod=both_ways, blind=blind, sure=sure
            )
            self._become(after)
            self._waiting.fulfil([each for each in waiting if each.op == "flush"], lambda: self._flushed(done))
            self._choose([each for each in waiting if each.op in CHOICES])

    def _choose(self, requests: list[Request]) -> None:
        """Carry out what was decided, now that both sides are as they were last seen."""
        self._waiting.let_go(requests)
        for request in requests:
            try:
                request.fulfil({**CHOICES[request.op](self._session, request.fields), **self.status()})
            except UnreachableError as lost:
                request.refuse(lost)
                self._lose(lost.message)
            except SyncHalted as halt:
                request.refuse(halt)
                self._become(self._state.halt(halt.message, self._clock.monotonic()))
            except DevpodError as error:
                request.refuse(error)

    def _answer(self, request: Request, work: Callable[[], dict[str, Any]]) -> None:
        try:
            request.fulfil({**work(), **self.status()})
        except DevpodError as error:
            request.refuse(error)

    def _lose(self, reason: str, *, expected: bool = True) -> None:
        self._cycles.detach()
        self._connection.drop()
        now = self._clock.monotonic()
        self._become(self._state.lost(reason, now) if expected else self._state.failed(reason, now))

    def _flushed(self, done: Done) -> dict[str, Any]:
        flushed = {
            "uploaded_files": done.uploaded_files,
            "uploaded_bytes": done.uploaded_bytes,
            "deleted": done.deleted,
            "looked_at_everything": done.full,
            "deferred": sorted(done.deferred),
        }
        return {**self.status(), "flushed": flushed}

    def _become(self, state: State) -> None:
        before, self._state = self._state, state
        if (before.line, before.reason, before.halted, before.paused) != (
            state.line,
            state.reason,
            state.halted,
            state.paused,
        ):
            log.info(
                "line=%s paused=%s halted=%s reason=%s", state.line.value, state.paused, state.halted, state.reason
            )
