"""Who counts as a user of the pod, and who does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devpod_rp.agent.machine.activity import CpuTime, Probe, computed, gpu_percent, read_gpus, sessions, without_ours
from devpod_rp.agent.machine.container import AGENT_MARK, Process

INIT = Process(1, 0, 0, ("/bin/bash", "/start.sh"))
SSHD = Process(2, 1, 0, ("sshd: /usr/sbin/sshd [listener] 0 of 10-100 startups",))
LOGIN = Process(3, 2, 0, ("sshd: root@pts/0",))
SHELL = Process(4, 3, 0, ("-bash",))
AGENT_SESSION = Process(5, 2, 0, ("sshd: root@notty",))
AGENT = Process(6, 5, 0, ("/usr/bin/python3", "-c", "…", AGENT_MARK))
AGENT_CHILD = Process(7, 6, 0, ("nvidia-smi",))
TICKS = 1_000_000.0


@pytest.mark.parametrize(
    ("running", "words"),
    [
        ((INIT, SSHD), []),
        ((INIT, SSHD, LOGIN, SHELL), ["an open SSH session"]),
        ((INIT, SSHD, AGENT_SESSION, AGENT, AGENT_CHILD), []),
        ((INIT, SSHD, LOGIN, SHELL, AGENT_SESSION, AGENT), ["an open SSH session"]),
        ((INIT, SSHD, Process(8, 2, 0, ("sshd: root [priv]",))), []),
        ((INIT, SSHD, Process(8, 2, 0, ("sshd: unknown [preauth]",))), []),
        ((INIT, SSHD, Process(8, 2, 0, ("sshd: root@notty",))), ["an open SSH session"]),
        ((INIT, SSHD, Process(8, 2, int(TICKS), ("sshd: root@notty",))), []),
        ((INIT, SSHD, LOGIN, SHELL, Process(8, 2, 0, ("sshd: me@pts/1",))), ["2 open SSH sessions"]),
        (
            (INIT, SSHD, LOGIN, Process(8, 3, 0, ("/root/.vscode-server/bin/abc/node", "server-main.js"))),
            ["a connected editor"],
        ),
        ((INIT, Process(8, 1, 0, ("/usr/sbin/sshd", "-D")), Process(9, 8, 0, ("sshd-session: root@pts/0",))),
         ["an open SSH session"]),
        ((INIT, Process(8, 1, 0, ("dropbear",)), Process(9, 8, 0, ("-sh",))), ["an open SSH session"]),
        ((INIT, Process(8, 1, 0, ("dropbear",)), Process(9, 8, 0, ("sh", "-c", "x", AGENT_MARK))), []),
        ((INIT, Process(9, 1, 0, ("python", "train.py"))), []),
    ],
)  # fmt: skip
def test_sessions_of_people_are_told_from_our_own(running: tuple[Process, ...], words: list[str]) -> None:
    assert sessions(running, TICKS) == words


def test_our_probes_are_nobody_s_work() -> None:
    assert without_ours([INIT, SSHD, AGENT_SESSION, AGENT, AGENT_CHILD]) == [INIT, SSHD, AGENT_SESSION]


@pytest.mark.parametrize(
    ("before", "now", "worked"),
    [
        ({}, {5: CpuTime(3.0, 1, 0)}, {5: 3.0}),
        ({5: CpuTime(3.0, 1, 0)}, {5: CpuTime(4.5, 1, 0)}, {5: 1.5}),
        # The same number, another process.
        ({5: CpuTime(3.0, 1, 0)}, {5: CpuTime(0.5, 1, 9)}, {5: 0.5}),
        # A compiler that ended: its parent's account grows by what was counted already, and by what was not.
        ({4: CpuTime(1.0, 1, 0), 5: CpuTime(3.0, 4, 0)}, {4: CpuTime(4.5, 1, 0)}, {4: 0.5}),
        # One whose parent never waited for it.
        ({4: CpuTime(1.0, 1, 0), 5: CpuTime(3.0, 4, 0)}, {4: CpuTime(1.0, 1, 0)}, {4: 0.0}),
    ],
)
def test_processor_time_is_counted_once(
    before: dict[int, CpuTime], now: dict[int, CpuTime], worked: dict[int, float]
) -> None:
    assert computed(before, now) == worked


@pytest.mark.parametrize(
    ("readings", "percent"),
    [
        (None, None),
        ([], None),
        ([[], [], []], None),
        ([[100.0], [0.0], [0.0]], 0.0),  # the driver woke up
        ([[90.0], [0.0], [95.0]], 90.0),  # a pause between two batches
        ([[0.0, 80.0], [0.0, 85.0], [0.0, 90.0]], 85.0),
    ],
)
def test_the_load_of_the_gpus_is_the_middle_of_several_readings(
    readings: list[list[float]] | None, percent: float | None
) -> None:
    assert gpu_percent(readings) == percent


def test_gpus_are_read_from_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho ' 93'\necho '[N/A]'\necho 7\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_gpus() == [[93.0, 7.0]] * 3


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_process_that_computes_is_seen_and_named() -> None:
    probe = Probe()
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass", "train-me"])
    try:
        probe.look()
        seconds = os.times().elapsed
        while os.times().elapsed - seconds < 1.0:
            os.sched_yield()
        assert any("CPU" in use for use in probe.look())
    finally:
        busy.kill()
        busy.wait()
