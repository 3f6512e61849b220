"""The local cloud as a process of its own, with a host that kills the process (SIGKILL) at a chosen moment.

``python -m tests.localcloud.crashing_server ROOT [VERB:before|after]``
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from devpod_rp.localcloud.sandbox import Machine
from devpod_rp.localcloud.server import run
from tests.localcloud.double import Container, DoubleHost, quick_settings


class CrashingHost(DoubleHost):
    def __init__(self, moment: str) -> None:
        super().__init__()
        self.verb, _, self.side = moment.partition(":")

    def crash_if(self, verb: str, side: str) -> None:
        if (verb, side) == (self.verb, self.side):
            os.kill(os.getpid(), signal.SIGKILL)

    def start(self, machine: Machine) -> Container:
        self.crash_if("start", "before")
        container = super().start(machine)
        with (machine.directory / "container-disk" / "boots").open("a", encoding="utf-8") as boots:
            boots.write("booted\n")
        self.crash_if("start", "after")
        return container

    def wipe(self, directory: Path) -> None:
        self.crash_if("wipe", "before")
        super().wipe(directory)
        self.crash_if("wipe", "after")

    def erase(self, path: Path) -> None:
        self.crash_if("erase", "before")
        super().erase(path)
        self.crash_if("erase", "after")


if __name__ == "__main__":
    run(quick_settings(Path(sys.argv[1])), CrashingHost(sys.argv[2] if len(sys.argv) > 2 else ""))
