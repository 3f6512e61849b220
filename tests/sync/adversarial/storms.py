"""Cases 23 to 27 and 42: more at once than queues and limits hold, and folders that come, go and move."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import psutil
import pytest

from devpod_rp.pod.link import AgentLink
from tests.keeper.rig import QUICK, Line, Rig
from tests.sync.adversarial.scene import Scene, eventually, quiet

MANY = 1500
"""A twentieth of what an `npm install` brings; with all of it a case takes minutes on two cores."""


def a_flood_of_new_files_and_their_removal_end_equal(scene: Scene) -> None:
    rig = scene.keeper("two-way-safe")
    rig.write("keep.txt", "k")
    for number in range(40):
        rig.write(f"src/{number}.py", str(number))
    rig.start()
    rig.ask("flush")
    for number in range(MANY):
        rig.write(f"packages/p{number % 300}/{number}.js", f"module {number}")
    rig.ask("flush", timeout=60.0)
    assert len(rig.pod.files()) == MANY + 41
    shutil.rmtree(rig.folder / "packages")
    rig.ask("flush", timeout=60.0)
    assert len(rig.pod.files()) == 41
    assert rig.ask("status")["state"] == "watching"
    peak = psutil.Process(rig.pod.connections[-1].channels[-1].process.pid).memory_info().rss
    assert peak < 150 << 20, "the agent's memory stays bounded"


def events_that_the_pods_kernel_dropped_cost_time_not_files(scene: Scene) -> None:
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if queue > 20_000:
        pytest.skip(f"the queue holds {queue} events, which takes too long to fill")
    rig = scene.keeper("two-way-safe")
    rig.write("f", "1")
    rig.write("d/g", "1")
    rig.start(timing=dataclasses.replace(QUICK, dead_seconds=60.0))
    rig.ask("flush")
    rig.pod.signal(signal.SIGSTOP)
    for number in range(queue // 3 + 500):  # none equals the one before it, so none is merged
        os.close(os.open(rig.pod.folder / f"d/{number % 2}", os.O_WRONLY | os.O_CREAT))
        os.unlink(rig.pod.folder / f"d/{number % 2}")
    (rig.pod.folder / "d/late").write_text("after the queue was full")
    (rig.pod.folder / "f").write_text("edited after the queue was full")
    rig.pod.signal(signal.SIGCONT)
    eventually(lambda: (rig.folder / "d/late").exists(), "the lost event's file comes here")
    eventually(lambda: (rig.folder / "f").read_text() == "edited after the queue was full", "and the edit")


def a_pod_that_allows_few_watches_is_looked_at_and_says_so(scene: Scene) -> None:
    if subprocess.run(["unshare", "--user", "--map-root-user", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system allows no user namespaces")
    rig = scene.keeper("two-way-safe")
    for number in range(30):
        rig.write(f"d{number}/f", "1")
    lame = "echo 5 > /proc/sys/user/max_inotify_watches; "
    rig.pod.open_link = lambda _environment: _link(  # type: ignore[method-assign]
        rig, lambda command: f"exec unshare --user --map-root-user sh -c {shlex.quote(lame + command)}"
    )
    rig.start(timing=dataclasses.replace(QUICK, full_seconds=0.5, poll_seconds=0.5))
    rig.ask("flush")
    eventually(lambda: "max_user_watches" in (rig.ask("status")["reason"] or ""), "the pod's watches are too few")
    (rig.pod.folder / "d29/f").write_text("edited where nobody listens")
    eventually(lambda: (rig.folder / "d29/f").read_text() == "edited where nobody listens", "a look finds it")


def _link(rig: Rig, shell: object) -> AgentLink:
    connection = Line()
    connection._shell = shell  # type: ignore[assignment]
    rig.pod.connections.append(connection)
    return AgentLink.open(connection)


def folders_that_appear_move_and_leave_while_they_are_written_are_followed(scene: Scene) -> None:
    rig = scene.keeper("two-way-safe")
    for number in range(20):
        rig.write(f"anchor{number}", "stays")
    rig.start()
    rig.ask("flush")
    for name, side in (("here", rig.folder), ("there", rig.pod.folder)):
        for number in range(30):
            folder = side / f"{name}/a{number}/b/c"
            folder.mkdir(parents=True)
            (folder / "f").write_text(f"{number}")
        outside = scene.top / f"outside of {name}"
        (outside / "in/deep").mkdir(parents=True)
        (outside / "in/deep/f").write_text("moved in")
        os.rename(outside / "in", side / name / "in")
        (side / name / "in/deep/later").write_text("written where a folder moved in")
        os.rename(side / name / "a3", outside / "left")
        (outside / "left/b/c/f").write_text("no business of ours")
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            for place in ("here/moving", "here/moved"):
                with contextlib.suppress(FileNotFoundError):  # it is the other one at this moment
                    (rig.folder / place / f"f{number % 50}").write_text(str(number))

    (rig.folder / "here/moving").mkdir()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(10):
            os.rename(rig.folder / "here/moving", rig.folder / "here/moved")
            os.rename(rig.folder / "here/moved", rig.folder / "here/moving")
    except FileExistsError:
        pass
    finally:
        stop.set()
        writer.join()
    rig.ask("flush")

    def told(side: Path) -> dict[str, str]:
        return {str(path.relative_to(side)): path.read_text() for path in side.rglob("*") if path.is_file()}

    eventually(lambda: told(rig.folder) == told(rig.pod.folder), "both sides equal")
    files = told(rig.pod.folder)
    assert files["here/in/deep/later"] == files["there/in/deep/later"] == "written where a folder moved in"
    assert not any(path.startswith(("here/a3/", "there/a3/")) for path in files)


def a_large_tree_and_a_deep_one_arrive_in_bounded_time_and_memory(scene: Scene) -> None:
    pair = scene.pair()
    for number in range(2500):  # a fortieth of the largest trees people have; the benchmark has 200,000
        pair.local.write(f"one folder/{number}", "x")
    for number in range(1500):
        pair.local.write(f"many/{number % 50}/{number % 7}/{number}", "y")
    deep = "/".join(["d"] * 300)
    pair.local.write(f"{deep}/bottom", "b")
    pair.pod.write(f"from the pod/{deep}/bottom", "b")
    pair.sync()
    assert pair.pod.read(f"{deep}/bottom") == pair.local.read(f"from the pod/{deep}/bottom") == "b"
    assert len(os.listdir(pair.pod.root / "one folder")) == 2500
    assert psutil.Process().memory_info().rss < 600 << 20
    quiet(pair)
