"""When those wake who look after something now and then."""

from __future__ import annotations


def until_next(seconds: float, now: float) -> float:
    """How long until *now*, of the monotonic clock, is a multiple of *seconds*: who waits by that wakes together with
    all others who do, which costs an idle machine less than one after the other."""
    return seconds - now % seconds
