"""Sums of money as people write them: ``$5``, ``5``, ``2.50 USD``. Pure."""

from __future__ import annotations

import re

FORM = re.compile(r"\$?\s*(\d+(?:\.\d+)?)\s*(?:usd|\$)?", re.IGNORECASE)


def amount(text: str) -> float:
    """The US dollars that *text* stands for.

    Raises:
        ValueError: it is no sum of money, or nothing at all.
    """
    found = FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no sum of money; write it like $5 or 2.50")
    dollars = float(found[1])
    if dollars <= 0:
        raise ValueError(f"{text!r} is no money at all")
    return dollars
