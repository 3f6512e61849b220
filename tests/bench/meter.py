"""What a piece of work took: time, bytes on the wire, processor time of both ends, memory."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from devpod_rp.agent.machine.container import AGENT_MARK
from tests.bench.far import FarRelay


@dataclass(frozen=True)
class Spent:
    """*cpu_seconds* are those of both ends together, without the relay between them."""

    seconds: float
    wire_bytes: int
    cpu_seconds: float


class Meter:
    """Measures work of programs that this process runs, of the *keeper* of the moment, and of everything that *sshd*
    starts."""

    def __init__(self, relay: FarRelay, sshd: int, keeper: Callable[[], int]) -> None:
        self._relay = relay
        self._sshd = psutil.Process(sshd)
        self._keeper = keeper

    @property
    def keeper(self) -> psutil.Process:
        return psutil.Process(self._keeper())

    def measure(self, work: Callable[[], object]) -> Spent:
        # Nobody pays for what the one before left to be written to the disk, or to be counted.
        os.sync()
        self._relay.count()
        cpu, began = self.cpu_seconds(), time.perf_counter()
        work()
        seconds = time.perf_counter() - began
        return Spent(seconds, self._relay.count(), self.cpu_seconds() - cpu)

    def cpu_seconds(self) -> float:
        ours = resource.getrusage(resource.RUSAGE_CHILDREN)
        return ours.ru_utime + ours.ru_stime + _cpu_of(self.keeper) + _cpu_of(self._sshd)

    def agent(self) -> psutil.Process:
        """The agent that the keeper speaks to."""
        found = [each for each in self._sshd.children(recursive=True) if AGENT_MARK in each.cmdline()]
        return max(found, key=lambda each: each.create_time())

    def peak_mib(self) -> tuple[float, float]:
        """The most memory that keeper and agent ever had."""
        return _peak_mib(self.keeper.pid), _peak_mib(self.agent().pid)


def _cpu_of(process: psutil.Process) -> float:
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # it ended; whoever waited for it counts its time
            times = each.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def _peak_mib(pid: int) -> float:
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as stream:
        return next(int(line.split()[1]) for line in stream if line.startswith("VmHWM")) / 1024
