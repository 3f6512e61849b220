"""What a check of ``doctor`` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One check's result; *fix* is the way out when *ok* is false."""

    check: str
    ok: bool
    found: str
    fix: str | None = None

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))
