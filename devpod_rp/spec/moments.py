"""Times of day and dates as people write them: ``22:00``, ``2026-12-01 08:00``. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_CLOCK = re.compile(r"([01]?\d|2[0-3])[:.]([0-5]\d)")


def next_moment(text: str, now: datetime) -> datetime:
    """The next time that *text* means, seen from *now* (aware); a time of day that is over is tomorrow's.

    Raises:
        ValueError: it is no time, or one that is over.
    """
    clock = _CLOCK.fullmatch(text.strip())
    if clock:
        today = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
        return today if today > now else today + timedelta(days=1)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is no time; write it like 22:00 or 2026-12-01 08:00") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=now.tzinfo)
    if moment <= now:
        raise ValueError(f"{text!r} is over")
    return moment
