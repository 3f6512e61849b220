"""Durations as people write them: ``30m``, ``2h``, ``1h30m``, ``90s``. Pure."""

from __future__ import annotations

import re

from devpod_rp.agent.watchdog.limits import spoken

__all__ = ["seconds", "spoken"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")


def seconds(text: str) -> float:
    """The seconds that *text* stands for.

    Raises:
        ValueError: it is no duration, or one of no length.
    """
    squeezed = re.sub(r"\s+", "", text.strip().lower())
    parts = _PART.findall(squeezed)
    if not parts or "".join(number + unit for number, unit in parts) != squeezed:
        raise ValueError(f"{text!r} is no duration; write it like 30m, 2h or 1h30m")
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if total <= 0:
        raise ValueError(f"{text!r} is no time at all")
    return total
