"""Bars of the synchronisation on a real pod: whatever dies in the middle of a storm, nothing is lost, both sides become
equal, and no part of a file is left over anywhere."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from devpod_rp.agent.machine.container import AGENT_MARK
from tests.end_to_end.conftest import World, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def pod(world: World) -> World:
    (world.folder / "devpod-rp.toml").write_text('[sync]\nmode = "two-way-safe"\n')
    for number in range(30):
        (world.folder / f"anchor{number}.txt").write_text(f"stays {number}\n")
    world.up()
    return world


def _kill_keeper(world: World) -> None:
    os.kill(world.run("sync", "status", "--json").json["pid"], signal.SIGKILL)


def _kill_agent(world: World) -> None:
    assert "killed" in world.ssh(_KILL.format(pattern=AGENT_MARK[:-1] + f"[{AGENT_MARK[-1]}]")).stdout


def _kill_connection(world: World) -> None:
    # This one's own connection is among them.
    assert world.ssh(_KILL.format(pattern="^sshd[-:].*ro[o]t")).exit_code == 255


_KILL = """
for process in /proc/[0-9]*; do
  words=$(tr '\\0' ' ' 2>/dev/null <$process/cmdline)
  if echo "$words" | grep -q '{pattern}'; then kill -9 ${{process#/proc/}} && echo killed; fi
done
"""


def _stop_pod(world: World) -> None:
    assert world.run("stop", "--force", "--json").exit_code == 0


def _nothing(_world: World) -> None:
    """Both sides are edited, and that is all."""


@pytest.mark.parametrize(
    "fault", [_kill_keeper, _kill_agent, _kill_connection, _stop_pod, _nothing], ids=lambda each: each.__name__[1:]
)
def test_a_storm_survives(pod: World, fault: Callable[[World], None]) -> None:
    name = fault.__name__
    assert pod.run("sync", "flush").exit_code == 0
    storm = f"mkdir there{name}; for n in $(seq 200); do echo $n > there{name}/$n; done"
    assert pod.ssh(f"cd /workspace/proj; {storm}; echo 'edited there {name}' > anchor1.txt").exit_code == 0
    for number in range(300):
        path = pod.folder / f"here{name}" / f"d{number % 7}" / f"{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number} " * 300)
    (pod.folder / f"large{name}.bin").write_bytes(os.urandom(48 << 20))
    (pod.folder / "anchor0.txt").write_text(f"edited here {name}\n")
    fault(pod)
    # Both sides are edited while nothing connects them, as far as the fault allows.
    (pod.folder / "anchor2.txt").write_text(f"edited while apart {name}\n")
    if fault is _stop_pod:
        pod.up()
    eventually(lambda: pod.run("sync", "flush").exit_code == 0, "it goes on by itself", seconds=90)
    here = _digests(pod.folder)
    eventually(lambda: _there(pod) == _digests(pod.folder), "both sides equal", seconds=60)
    assert len([path for path in here if path.startswith(f"here{name}/")]) == 300
    assert len([path for path in _digests(pod.folder) if path.startswith(f"there{name}/")]) == 200
    assert (pod.folder / "anchor1.txt").read_text() == f"edited there {name}\n"
    assert pod.run("sync", "status", "--json").json["conflicts"] == []
    assert pod.ssh("find /workspace/.devpod_rp/stage -type f").stdout == "", "no part of a file is left over there"
    parts = [path for path in pod.home.rglob("sync/local/stage/*/*") if path.is_file()]
    assert parts == [], "nor here"


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and path.suffix != ".log"
    }


def _there(world: World) -> dict[str, str]:
    listed = world.ssh("cd /workspace/proj && find . -type f ! -name '*.log' -exec sha256sum {} +").stdout
    return {line[66:].removeprefix("./"): line[:64] for line in listed.splitlines()}
