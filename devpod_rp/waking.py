"""When those wake who look after something now and then."""

from __future__ import annotations

KEEPALIVE_SECONDS = 5.0
"""How often the peer of a connection, if it is silent, is asked for a sign of life."""


def until_next(seconds: float, now: float) -> float:
    """How long until *now*, of the monotonic clock, is a multiple of *seconds*: who waits by that wakes together with
    all others who do, which costs an idle machine less than one after the other."""
    return seconds - now % seconds
