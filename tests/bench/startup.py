"""How long `devpod-rp --help` takes beside importing the command-line library alone."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

BAR = 1.5
_RUNS = 21


@dataclass(frozen=True)
class Ratio:
    """Two medians in seconds, measured in turn, and the bar for their ratio."""

    name: str
    ours: float
    peer: float
    bar: float

    @property
    def met(self) -> bool:
        return self.ours / self.peer < self.bar

    def __str__(self) -> str:
        verdict = "met" if self.met else "MISSED"
        return (
            f"{self.name}: {self.ours * 1000:.0f} ms / {self.peer * 1000:.0f} ms = {self.ours / self.peer:.2f} "
            f"(bar {self.bar}, {verdict})"
        )


def measure() -> Ratio:
    """`devpod-rp --help` against `python -c 'import click'`, alternating so that a noisy machine disturbs both."""
    ours, peer = [], []
    for run in range(_RUNS + 1):
        one = _seconds([sys.executable, "-m", "devpod_rp", "--help"])
        other = _seconds([sys.executable, "-c", "import click"])
        if run:  # the first pair warms the disk cache
            ours.append(one)
            peer.append(other)
    return Ratio("devpod-rp --help / import click", statistics.median(ours), statistics.median(peer), BAR)


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started
