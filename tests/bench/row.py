"""One workload in the table: who took how long, what went over the wire, and whether the bar is met."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.bench.meter import Spent

OURS = "devpod-rp"


@dataclass
class Row:
    """*ratio* is the bar for our time divided by that of the best of *against* (all, if none are named), *wire_ratio*
    the same for bytes, *most* an upper limit for *value*, which has a *unit*."""

    work: str
    rtt_ms: int
    ratio: float | None = None
    wire_ratio: float | None = None
    against: tuple[str, ...] = ()
    value: float | None = None
    unit: str = ""
    most: float | None = None
    note: str = ""
    spent: dict[str, Spent] = field(default_factory=dict)

    @property
    def misses(self) -> list[str]:
        """The bars that are not met."""
        missed = []
        if self.ratio is not None and (got := self._best(lambda spent: spent.seconds)) > self.ratio:
            missed.append(f"time {got:.2f} > {self.ratio}")
        if self.wire_ratio is not None and (got := self._best(lambda spent: spent.wire_bytes)) > self.wire_ratio:
            missed.append(f"bytes {got:.2f} > {self.wire_ratio}")
        if self.most is not None and self.value is not None and self.value > self.most:
            missed.append(f"{self.value:.3g} > {self.most:g} {self.unit}")
        return missed

    def _best(self, of) -> float:  # type: ignore[no-untyped-def]
        theirs = [of(spent) for who, spent in self.spent.items() if who in self.against or not self.against]
        return float(of(self.spent[OURS]) / min(value for value in theirs if value != of(self.spent[OURS])))

    def __str__(self) -> str:
        cells = [f"**{self.value:.3g} {self.unit}**"] if self.value is not None else []
        for who, spent in self.spent.items():
            shown = f"{spent.seconds * 1000:.0f} ms" if spent.seconds < 1 else f"{spent.seconds:.2f} s"
            ratio = f" ({self.spent[OURS].seconds / spent.seconds:.2f})" if who != OURS and OURS in self.spent else ""
            cells.append(f"{who} {shown}{ratio}, {spent.wire_bytes / 1e6:.1f} MB, {spent.cpu_seconds:.1f} s CPU")
        bars = self.ratio is not None or self.wire_ratio is not None or self.most is not None
        verdict = ("**missed**: " + ", ".join(self.misses) if self.misses else "met") if bars else ""
        return f"| {self.work} | {self.rtt_ms} ms | {' · '.join(cells)} | {verdict} | {self.note} |"
