"""A rescue and a restore that are killed (SIGKILL, any moment, again and again) lose nothing and can be completed."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from devpod_rp.agent.exposure import manifest
from tests.agent.containers import Container

pytestmark = pytest.mark.slow

_KILLS = 10
_PROGRAM = """
import sys
from pathlib import Path
from devpod_rp.agent.machine import mounts
from devpod_rp.agent.rescue.saving import rescue
from devpod_rp.agent.rescue.restoring import restore
what, root, proc, *rest = sys.argv[1:]
if what == "rescue":
    survey = mounts.survey(mounts.parse((Path(proc) / "self/mountinfo").read_text()), ["/workspace"])
    steps = rescue(rest, "/workspace", survey, root=root)
else:
    steps = restore(rest, is_original=lambda change: False, root=root)
print("begun", flush=True)
for _ in steps:
    pass
"""


@pytest.fixture
def pod(tmp_path):
    container = Container(tmp_path)
    container.boots()
    for number in range(60):
        container.write(f"/root/src/{number % 7}/{number}.py", os.urandom(3000))
    container.write("/root/run/model.pt", os.urandom(40 << 20))
    sparse = container.write("/root/run/sparse.bin", b"begin")
    with open(sparse, "r+b") as stream:
        stream.seek(80 << 20)
        stream.write(b"end")
    script = container.write("/root/run/train.sh", "#!/bin/sh\n")
    script.chmod(0o750)
    os.utime(script, ns=(1, 1_234_567_890_123_456_789))
    script.with_name("latest").symlink_to("train.sh")
    os.link(script, script.with_name("twin.sh"))
    return container


def paths_of(pod: Container) -> list[str]:
    top = pod.path("/root")
    return sorted(f"/root/{path.relative_to(top)}" for path in top.rglob("*") if path.is_symlink() or path.is_file())


def facts(path: Path) -> tuple[Any, ...]:
    status = path.lstat()
    if path.is_symlink():
        return ("link", os.readlink(path), status.st_mtime_ns)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return (digest, stat.S_IMODE(status.st_mode), status.st_mtime_ns, status.st_uid, status.st_gid)


def sparse(path: Path) -> bool:
    return path.stat().st_blocks * 512 < 10 << 20


def start(what: str, pod: Container, *rest: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, what, str(pod.root), str(pod.proc), *rest], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    return process


def kill_now_and_then(what: str, pod: Container, *rest: str, chance: random.Random) -> int:
    """Start it again and again and kill it at a random moment, later each time; how often it was killed."""
    killed = 0
    for turn in range(_KILLS):
        process = start(what, pod, *rest)
        deadline = time.monotonic() + chance.uniform(0, 0.02) + turn * 0.01
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.0005)
        killed += process.poll() is None
        process.kill()
        process.wait()
    return killed


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_again_and_again_it_is_completed_by_one_that_is_not(pod, seed) -> None:
    chance = random.Random(seed)
    paths = paths_of(pod)
    before = {path: facts(pod.path(path)) for path in paths}
    assert kill_now_and_then("rescue", pod, *paths, chance=chance) > _KILLS // 2
    assert {path: facts(pod.path(path)) for path in paths} == before, "the originals are never touched"
    last = start("rescue", pod, *paths)
    assert last.wait(60) == 0
    newest = manifest.finished(str(pod.path("/workspace")))
    done = [name for name in newest if not name.endswith(manifest.INTERRUPTED) and "-interrupted-" not in name][-1]
    rescued = pod.path("/workspace/.devpod/rescue") / done
    assert {path: facts(Path(f"{rescued}{path}")) for path in paths} == before
    assert sparse(Path(f"{rescued}/root/run/sparse.bin"))

    # The stop: the container disk is wiped. Then the restore is killed as often, and completed.
    shutil.rmtree(pod.path("/root"))
    destination = f"/workspace/.devpod/rescue/{done}"
    kill_now_and_then("restore", pod, destination, chance=chance)
    last = start("restore", pod, destination)
    assert last.wait(60) == 0
    assert {path: facts(pod.path(path)) for path in paths} == before
    assert paths_of(pod) == paths, "nothing half-written is left beside them"
    assert sparse(pod.path("/root/run/sparse.bin"))
