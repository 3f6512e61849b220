"""Times on the wire: RFC 3339 in UTC with a ``Z``."""

from __future__ import annotations

import re
from datetime import datetime, timezone

_RFC3339 = re.compile(r"^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)$")


def rfc3339(moment: float | datetime) -> str:
    """*moment* (epoch seconds or aware datetime); the fraction is left out when it is zero."""
    if not isinstance(moment, datetime):
        moment = datetime.fromtimestamp(moment, timezone.utc)
    return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def parse(text: str) -> datetime:
    """The aware datetime that RFC 3339 *text* means; digits beyond microseconds are dropped. Raises ValueError."""
    match = _RFC3339.match(text)
    if match is None:
        raise ValueError(f"'{text}' is not valid date-time")
    date, time, fraction, zone = match.groups()
    micros = (fraction or ".0")[1:7].ljust(6, "0")
    offset = "+00:00" if zone in "Zz" else zone
    return datetime.fromisoformat(f"{date}T{time}.{micros}{offset}")
