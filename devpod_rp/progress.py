"""How long work tells its story: events go up, only ``cli/`` draws them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Event:
    """One moment of long work.

    *stage* is a stable word ("place", "boot", "connect", "scan", "upload", "rescue", …); events of one stage replace
    each other on screen. *done* and *total* count *unit*; a total of None means it is not known yet.
    """

    stage: str
    message: str
    done: int | None = None
    total: int | None = None
    unit: Literal["bytes", "files", "steps"] | None = None
    warning: bool = False


Progress = Callable[[Event], None]


def silent(_event: Event) -> None:
    """The progress sink of callers that do not watch."""
