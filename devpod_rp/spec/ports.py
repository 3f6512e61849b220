"""How a port to forward is written: ``[LABEL=]PORT[:LOCAL]``."""

from __future__ import annotations

import re
from dataclasses import dataclass

FORM = re.compile(r"(?:(?P<label>[^=:\s][^=:]*)=)?(?P<port>\d{1,5})(?::(?P<local>\d{1,5}))?")
_HIGHEST = 65535


@dataclass(frozen=True)
class PortWish:
    """*port* on the pod's loopback, wanted at *local* here (None: at the same number, or near it)."""

    port: int
    local: int | None = None
    label: str | None = None

    def __str__(self) -> str:
        label = f"{self.label}=" if self.label else ""
        return f"{label}{self.port}" + (f":{self.local}" if self.local is not None else "")


def port_wish(text: str) -> PortWish:
    """The wish that *text* spells.

    Raises:
        ValueError: it spells none.
    """
    match = FORM.fullmatch(text.strip())
    numbers = [int(number) for number in (match["port"], match["local"]) if number] if match else []
    if match is None or not all(1 <= number <= _HIGHEST for number in numbers):
        raise ValueError(f"{text!r} is no port to forward; write it like 6006, 8000:18000 or tensorboard=6006")
    return PortWish(int(match["port"]), int(match["local"]) if match["local"] else None, match["label"])
