"""How long the simulated parts of a start take."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Delays:
    """How long the simulated parts of a start take, in seconds."""

    allocate: float = 0.3
    pull: float = 0.5
    start: float = 0.2

    @classmethod
    def parse(cls, text: str) -> Delays:
        """From ``"allocate=0.2,pull=0.3,start=0.1"``. Raises ValueError naming what is wrong with it."""
        values = {}
        for part in filter(None, text.split(",")):
            name, _, seconds = part.partition("=")
            if name.strip() not in {field.name for field in dataclasses.fields(cls)}:
                raise ValueError(f"unknown delay {name.strip()!r}")
            values[name.strip()] = float(seconds)
        return cls(**values)

    def overridden(self, by: Mapping[str, float]) -> Delays:
        return dataclasses.replace(self, **by)
