"""The watchdog: a process in the pod that stops it when its limits say so, with or without the laptop.

It looks, decides (``limits``), saves what only the container disk has (``keepsakes``) and orders the stop with the
pod's own key (``selfstop``). While the laptop's keeper is in touch, the keeper goes first, because it also brings the
synchronisation up to date. A rescue that fails holds the pod: it runs on, and the state says why.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections import deque
from pathlib import Path
from typing import Any, Callable, Deque, Dict, NamedTuple, Optional

from devpod_rp.agent.disk.keeping import keep
from devpod_rp.agent.disk.operations import order_of
from devpod_rp.agent.exposure.baseline import DIRECTORY
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.agent.machine import container
from devpod_rp.agent.machine.activity import Probe
from devpod_rp.agent.rescue.keepsakes import NoLoss, Saved, save_all
from devpod_rp.agent.rescue.noting import Noting
from devpod_rp.agent.watchdog.limits import STOP, WARN, Facts, Limits, Sample, Verdict, decide, spoken
from devpod_rp.agent.watchdog.selfstop import Refused, own_key
from devpod_rp.agent.wire import Refusal

ORDERS = DIRECTORY + "/watchdog-orders.json"
STATE = DIRECTORY + "/watchdog-state.json"
LAPTOP = DIRECTORY + "/laptop-seen"
_LOCK = DIRECTORY + "/watchdog.lock"
MARK = "devpod_rp-agent-watchdog"

_LAPTOP_IN_TOUCH_SECONDS = 60.0
# How long the keeper may take for its own, better stop: flush, rescue, stop.
_KEEPER_LEAD_SECONDS = 180.0
_HELD_SECONDS = 600.0
_REFUSED_SECONDS = 60.0
_MOST_SAMPLES = 4000


class Orders(NamedTuple):
    """What the launcher wants; *keeper_leads* is False where no keeper could stop the pod better.

    *keep* is the order to keep the container disk (``disk.operations.order_of``), None where it is not kept.
    """

    api_url: str
    volume: Optional[str]
    limits: Limits
    no_loss: Any
    keeper_leads: bool
    noting: Optional[Noting] = None
    keep: Optional[Dict[str, Any]] = None

    @classmethod
    def from_wire(cls, document: Dict[str, Any]) -> "Orders":
        """Raises KeyError, TypeError or ValueError for what are no orders."""
        return cls(
            str(document["api_url"]),
            None if document["volume"] is None else str(document["volume"]),
            Limits.from_wire(document["limits"]),
            document["no_loss"],
            bool(document["keeper_leads"]),
            Noting.from_wire(document.get("noting")),
            document.get("keep"),
        )


class World(NamedTuple):
    """The edges of a watchdog; tests bring their own."""

    look: Callable[[], "tuple[str, ...]"]
    rescue: Callable[[Orders], Saved]
    stop: Callable[[Orders], None]
    say: Callable[[str], None]
    now: Callable[[], float]
    laptop_at: Callable[[], Optional[float]]
    started_at: float


class Watchdog:
    """One step at a time: :meth:`step` looks, decides and acts, and returns the state for whoever asks."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._born = world.now()
        self._samples: Deque[Sample] = deque(maxlen=_MOST_SAMPLES)
        self._due_since: Optional[float] = None
        self._again_at = 0.0
        self._held: Optional[str] = None
        self._stopped = False
        self._warned: Optional[str] = None

    def step(self, orders: Orders) -> Dict[str, Any]:
        """Look at the pod once; stop it if that is due."""
        now = self._world.now()
        self._samples.append(Sample(now, self._world.look()))
        now = self._world.now()
        laptop_at = self._world.laptop_at()
        facts = Facts(self._world.started_at, laptop_at if laptop_at is not None else self._born)
        verdict = decide(orders.limits, facts, list(self._samples), now)
        if verdict.action != STOP:
            self._due_since, self._held, self._again_at, self._stopped = None, None, 0.0, False
        self._warn(verdict, now)
        if verdict.action == STOP and now >= self._again_at and not self._left_to_keeper(orders, laptop_at, now):
            self._end(orders, verdict)
        return self._state(verdict, facts)

    def _left_to_keeper(self, orders: Orders, laptop_at: Optional[float], now: float) -> bool:
        if self._due_since is None:
            self._due_since = now
        in_touch = laptop_at is not None and now - laptop_at < _LAPTOP_IN_TOUCH_SECONDS
        return orders.keeper_leads and in_touch and now - self._due_since < _KEEPER_LEAD_SECONDS

    def _end(self, orders: Orders, verdict: Verdict) -> None:
        try:
            saved = self._world.rescue(orders)
        except (Refusal, OSError) as error:
            reason = error.message if isinstance(error, Refusal) else str(error)
            self._hold("the rescue failed: {0}".format(reason), _HELD_SECONDS)
            return
        if saved.files:
            self._world.say("saved {0} files to {1}".format(saved.files, saved.destination))
        self._world.say("stopping this pod: {0}".format(verdict.reason))
        try:
            self._world.stop(orders)
        except Refused as error:
            self._hold("the stop was refused: {0}".format(error), _REFUSED_SECONDS)
            return
        self._held, self._stopped = None, True
        self._again_at = self._world.now() + _REFUSED_SECONDS

    def _hold(self, reason: str, seconds: float) -> None:
        self._again_at = self._world.now() + seconds
        if reason != self._held:
            self._world.say("this pod is due to stop and runs on: {0}".format(reason))
        self._held = reason

    def _warn(self, verdict: Verdict, now: float) -> None:
        if verdict.action != WARN or verdict.due is None:
            self._warned = None
        elif verdict.reason != self._warned:
            self._warned = verdict.reason
            self._world.say("this pod stops in {0}: {1}".format(spoken(verdict.due - now), verdict.reason))

    def _state(self, verdict: Verdict, facts: Facts) -> Dict[str, Any]:
        return {
            "at": self._world.now(),
            "pid": os.getpid(),
            "action": verdict.action,
            "reason": verdict.reason,
            "due": verdict.due,
            "uses": list(self._samples[-1].uses),
            "held": self._held,
            "stopped": self._stopped,
            "started_at": facts.started_at,
            "laptop_at": facts.laptop_at,
        }


def main() -> None:
    """Run until the orders are gone or the pod is, or not at all if another one runs. The caller has detached us."""
    import fcntl

    lock = os.open(_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    born = os.stat(ORDERS).st_mtime_ns
    watchdog = Watchdog(real_world())
    orders = read_orders()
    while True:
        try:
            state = watchdog.step(orders)
            write_atomically(STATE, json.dumps(state).encode("ascii"))
        except OSError:
            # A full disk, a /proc that is not itself for a moment: the next look may find it well again.
            sys.stderr.write(traceback.format_exc())
        deadline = time.time() + orders.limits.interval_seconds
        while time.time() < deadline:
            time.sleep(min(1.0, max(0.05, deadline - time.time())))
            try:
                changed = os.stat(ORDERS).st_mtime_ns
            except OSError:
                return
            if changed != born:
                born, orders = changed, read_orders()
                break


def read_orders() -> Orders:
    """What the launcher ordered last. Raises OSError or ValueError if nobody ever did."""
    with open(ORDERS, "rb") as stream:
        return Orders.from_wire(json.loads(stream.read()))


def read_state() -> Optional[Dict[str, Any]]:
    """What the watchdog of this container wrote last, if there was one."""
    try:
        with open(STATE, "rb") as stream:
            state: Dict[str, Any] = json.loads(stream.read())
    except (OSError, ValueError):
        return None
    return state


def real_world() -> World:
    """This container, the API and the clock as they are."""
    return World(
        look=Probe().look,
        rescue=save,
        stop=lambda orders: own_key(orders.api_url).stop(),
        say=say,
        now=time.time,
        laptop_at=_laptop_at,
        started_at=container.started_at_ns() / 1e9,
    )


def say(text: str) -> None:
    """Tell the container's log, which outlives the container, and every terminal in it."""
    line = "devpod-rp: {0}\n".format(text)
    sys.stderr.write(line)
    sys.stderr.flush()
    terminals = [Path("/dev/pts") / name for name in os.listdir("/dev/pts") if name.isdigit()]
    for place, ending in [(Path("/proc/1/fd/1"), "\n"), *((each, "\r\n") for each in terminals)]:
        try:
            # O_NONBLOCK: nobody may read there, and a watchdog must not wait for a reader.
            descriptor = os.open(str(place), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            continue  # not ours to write to, or gone
        try:
            os.write(descriptor, (line.rstrip("\n") + ending).encode("utf-8", "replace"))
        except OSError:
            continue  # nobody reads there
        finally:
            os.close(descriptor)


def save(orders: Orders, *, root: str = "/", proc: Path = Path("/proc"), tell: Callable[[str], None] = say) -> Saved:
    """Keep the disk, if that is ordered, and save what then still exists only on it.

    A disk that cannot be kept does not hold the pod: what is nowhere else is saved all the same.

    Raises:
        Refusal: something would be lost, or somebody else is keeping the disk at this moment.
    """
    if orders.keep is not None:
        try:
            for _ in keep(order_of(orders.keep), root=root, proc=proc):
                pass
        except Refusal as refusal:
            if refusal.code == "busy":
                raise
            tell("the container disk could not be kept: {0}".format(refusal.message))
        except OSError as error:
            tell("the container disk could not be kept: {0}".format(error))
    return save_all(orders.volume, NoLoss(orders.no_loss), noting=orders.noting, root=root, proc=proc)


def _laptop_at() -> Optional[float]:
    try:
        return os.stat(LAPTOP).st_mtime
    except OSError:
        return None
