"""When a pod has run long enough. Pure: what was seen and the time come in, a verdict with its reason goes out.

The keeper on the laptop and the watchdog in the pod both decide by these lines, so they can never disagree.
"""

from __future__ import annotations

import math
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

KEEP, WARN, STOP = "keep", "warn", "stop"

_HOUR = 3600.0
_LONGEST_WARNING_SECONDS = 300.0
_WARNING_SHARE = 0.2
# One reading of a GPU between two batches says nothing; a stop needs this many that agree.
_LEAST_IDLE_SAMPLES = 3


class Limits(NamedTuple):
    """What ends a pod. Durations in seconds, moments as Unix time, money in USD; None where there is no such limit.

    *lid_seconds* is how long the pod may outlive the last sign of the laptop. A snooze postpones what is about being
    used (idle, lid) and the runtime; neither the money nor a planned stop.
    """

    idle_seconds: Optional[float] = None
    runtime_seconds: Optional[float] = None
    cost_usd: Optional[float] = None
    lid_seconds: Optional[float] = None
    usd_per_hour: float = 0.0
    snooze_until: Optional[float] = None
    stop_at: Optional[float] = None

    @classmethod
    def from_wire(cls, fields: Dict[str, Any]) -> "Limits":
        """The reverse of ``_asdict``; raises TypeError or ValueError for what is no set of limits."""
        numbers = {name: None if value is None else float(value) for name, value in fields.items()}
        return cls(**numbers)  # type: ignore[arg-type]

    @property
    def any(self) -> bool:
        """Whether anything at all would ever stop the pod."""
        ends = (self.idle_seconds, self.runtime_seconds, self.cost_usd, self.lid_seconds, self.stop_at)
        return any(each is not None for each in ends)

    @property
    def interval_seconds(self) -> float:
        """How often to look: often enough for the shortest limit, seldom enough to be no load of its own."""
        shortest = min((each for each in (self.idle_seconds, self.lid_seconds) if each is not None), default=300.0)
        return max(1.0, min(15.0, shortest / 20.0))


class Sample(NamedTuple):
    """One look at the pod: *uses* says in words what uses it, and is empty when nothing does."""

    at: float
    uses: Tuple[str, ...]


class Facts(NamedTuple):
    """*started_at* is when the pod began to run, *laptop_at* when the laptop was last heard of."""

    started_at: float
    laptop_at: float


class Verdict(NamedTuple):
    """*due* is when the pod is to stop if nothing changes, None if nothing would stop it."""

    action: str
    reason: str
    due: Optional[float] = None


class _End(NamedTuple):
    due: float
    allowance: float
    why: str


def decide(limits: Limits, facts: Facts, samples: Sequence[Sample], now: float) -> Verdict:
    """Keep the pod, warn that it will stop soon, or stop it; *samples* oldest first.

    Idle time counts only as far as somebody looked: a gap in the samples (a frozen pod, a clock that was set) starts it
    anew, and so does any use.
    """
    ends = _ends(limits, facts, samples)
    awake = "kept awake by {0}".format(", ".join(samples[-1].uses)) if samples and samples[-1].uses else None
    if not ends:
        return Verdict(KEEP, awake or "no limit applies")
    first = min(ends)
    if now >= first.due:
        return Verdict(STOP, first.why, first.due)
    soon = min(_LONGEST_WARNING_SECONDS, first.allowance * _WARNING_SHARE)
    if first.due - now <= soon:
        return Verdict(WARN, first.why, first.due)
    if awake is not None:
        return Verdict(KEEP, awake, first.due)
    if limits.snooze_until is not None and now < limits.snooze_until:
        return Verdict(KEEP, "snoozed", first.due)
    since = idle_since(samples, limits.interval_seconds)
    quiet = "not used for {0}".format(spoken(now - since)) if since is not None else "watching"
    return Verdict(KEEP, quiet, first.due)


def idle_since(samples: Sequence[Sample], interval_seconds: float) -> Optional[float]:
    """Since when nothing used the pod, as far as the samples reach without a gap; None if it is in use or unknown."""
    longest_gap = 3 * interval_seconds + 30.0
    since: Optional[float] = None
    looks = 0
    after: Optional[Sample] = None
    for sample in reversed(samples):
        if after is not None and not 0 <= after.at - sample.at <= longest_gap:
            break
        if sample.uses:
            since = sample.at if looks else None
            break
        since, looks, after = sample.at, looks + 1, sample
    return since if looks >= _LEAST_IDLE_SAMPLES else None


def _ends(limits: Limits, facts: Facts, samples: Sequence[Sample]) -> List[_End]:
    awake_until = limits.snooze_until or -math.inf
    ends = []
    if limits.stop_at is not None:
        ends.append(_End(limits.stop_at, math.inf, "the planned stop is due"))
    if limits.cost_usd is not None and limits.usd_per_hour > 0:
        allowance = limits.cost_usd / limits.usd_per_hour * _HOUR
        why = "this run costs ${0:.2f}, the max_cost".format(limits.cost_usd)
        ends.append(_End(facts.started_at + allowance, allowance, why))
    if limits.runtime_seconds is not None:
        due = max(facts.started_at + limits.runtime_seconds, awake_until)
        why = "it has run for {0}, the max_runtime".format(spoken(limits.runtime_seconds))
        ends.append(_End(due, limits.runtime_seconds, why))
    if limits.lid_seconds is not None:
        due = max(facts.laptop_at + limits.lid_seconds, awake_until)
        why = "the laptop has not been heard of for {0}, the lid_stop".format(spoken(limits.lid_seconds))
        ends.append(_End(due, limits.lid_seconds, why))
    since = idle_since(samples, limits.interval_seconds)
    if limits.idle_seconds is not None and since is not None:
        due = max(since + limits.idle_seconds, awake_until)
        why = "nothing has used it for {0}, the idle_stop".format(spoken(limits.idle_seconds))
        ends.append(_End(due, limits.idle_seconds, why))
    return ends


def spoken(seconds: float) -> str:
    """*seconds* in at most two units: ``2h 5m``, ``45s``."""
    left = max(0, round(seconds))
    words = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            words.append("{0}{1}".format(count, unit))
    return " ".join(words[:2]) or "0s"
