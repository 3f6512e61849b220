"""Cases 33 to 35, 37, 39, 44 and 45: lines that break, processes that die, machines that meet, an agent that lies."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devpod_rp.agent.sync.leases import EXPIRES_SECONDS
from devpod_rp.agent.wire import Frame
from devpod_rp.errors import DevpodError, UnreachableError
from devpod_rp.pod.link import AgentLink
from devpod_rp.sync.status import SyncHalted
from tests.sync.adversarial.scene import Scene, Wrapped, eventually, settled


def a_line_cut_at_any_byte_in_either_direction_costs_only_time(scene: Scene) -> None:
    pair = scene.pair()
    pair.both({f"anchor{number}": "stays" for number in range(9)}).synced()
    chance = random.Random(33)
    lengths = {"there": 150_000, "back": 6_000}  # what one of these cycles takes, the agent's sources included
    for number in range(16):
        way = "there" if number % 2 else "back"
        for each in range(8):
            pair.local.write(f"here/{each}", f"{number} {each}" * chance.randrange(1, 400))
            pair.pod.write(f"there/{each}", f"{number} {each}" * chance.randrange(1, 400))
        pair.local.write(f"new/{number}", str(number))
        if number > 2:
            pair.local.delete(f"new/{number - 2}")
        pair.disconnect()
        passing = f"dd bs=65536 iflag=count_bytes status=none count={chance.randrange(lengths[way])}"
        cut = f"{passing} | %s" if way == "there" else f"{{ %s; }} | ( {passing}; kill -9 $$ )"
        pair.machine = Wrapped(lambda command: cut % command)  # noqa: B023
        with contextlib.suppress(UnreachableError):
            pair.link = AgentLink.open(pair.machine)
            pair.session.attach(pair.link)
            pair.session.synchronise()
        pair.disconnect()
    settled(pair)
    assert pair.conflicts() == []


def an_agent_killed_at_any_moment_of_either_direction_costs_only_time(scene: Scene) -> None:
    pair = scene.pair()
    pair.both({f"anchor{number}": "stays" for number in range(9)}).synced()
    chance = random.Random(34)
    for number in range(8):
        for each in range(60):
            pair.local.write(f"here/{each}", f"{number} {each}" * chance.randrange(1, 200))
            pair.pod.write(f"there/{each}", f"{number} {each}" * chance.randrange(1, 200))
        pair.local.write("large.bin", chance.randbytes(3 << 20))
        pair.pod.write("large there.bin", chance.randbytes(3 << 20))
        pair.connect()
        killer = threading.Timer(chance.uniform(0.0, 0.25), pair.machine.pipe.process.kill)  # type: ignore[union-attr]
        killer.start()
        with contextlib.suppress(UnreachableError):
            pair.sync()
        killer.cancel()
        killer.join()
        pair.disconnect()
    settled(pair)
    assert pair.conflicts() == []


def an_agent_starved_of_time_is_waited_for_and_nothing_is_torn(scene: Scene) -> None:
    """A fork storm on the pod: the agent runs a little now and then, and is killed for its memory at last."""
    rig = scene.keeper("two-way-safe")
    for number in range(200):
        rig.write(f"d{number % 9}/f{number}", "x" * 500)
    rig.start()
    stop = threading.Event()

    def starve() -> None:
        while not stop.is_set():
            for number, seconds in ((signal.SIGSTOP, 0.03), (signal.SIGCONT, 0.01)):
                with contextlib.suppress(IndexError, ProcessLookupError):
                    rig.pod.signal(number)
                time.sleep(seconds)

    eventually(lambda: rig.pod.connections and rig.pod.connections[-1].channels, "an agent")
    starving = threading.Thread(target=starve)
    starving.start()
    try:
        for number in range(60):
            rig.write(f"d{number % 9}/f{number}", f"edited {number}")
        rig.ask("flush", timeout=60.0)
    finally:
        stop.set()
        starving.join()
        rig.pod.signal(signal.SIGCONT)
    rig.pod.signal(signal.SIGKILL)
    rig.write("after.txt", "the kill")
    rig.ask("flush")
    there = rig.pod.files()
    assert there == {
        str(path.relative_to(rig.folder)): path.read_text() for path in rig.folder.rglob("*") if path.is_file()
    }


def a_machine_that_slept_while_another_took_over_overwrites_nothing_when_it_wakes(scene: Scene) -> None:
    first = scene.pair("one-way-safe", name="first")
    second = scene.pair("one-way-safe", name="second")
    second.session.close()
    second.volume, second.pod = first.volume, first.pod
    second.session = second.new_session()
    first.both({"shared.txt": "1", "mine.txt": "1"}).synced()
    # The first one's lid is closed: its agent hears nothing, and its word grows old.
    first.machine.pipe.process.send_signal(signal.SIGSTOP)  # type: ignore[union-attr]
    (lease,) = first.volume.glob(".devpod_rp/roots/*/lease")
    word = json.loads(lease.read_text())
    lease.write_text(json.dumps({**word, "at": time.time() - EXPIRES_SECONDS - 1}))
    second.both({"shared.txt": "1", "mine.txt": "1"}).sync()
    second.local.write("shared.txt", "edited by the second")
    second.sync()
    assert first.pod.read("shared.txt") == "edited by the second"
    # It wakes up, with an edit of its own.
    first.machine.pipe.process.send_signal(signal.SIGCONT)  # type: ignore[union-attr]
    first.local.write("shared.txt", "edited by the first")
    with contextlib.suppress(SyncHalted):
        first.sync("shared.txt")
    assert first.pod.read("shared.txt") == "edited by the second", "an old picture of the pod overwrites nothing"
    with pytest.raises(SyncHalted, match="synchronises with"):
        first.sync()
    assert first.pod.read("shared.txt") == "edited by the second"


# An agent that lies.


class Liar:
    """A link whose answers to *op* are changed by *lie*; all else is the real agent's."""

    def __init__(self, link: AgentLink, op: str, lie: Callable[[Any], Any]) -> None:
        self._link, self._op, self._lie = link, op, lie

    def __getattr__(self, name: str) -> Any:
        return getattr(self._link, name)

    def stream(self, op: str, body: bytes = b"", **fields: Any) -> Iterator[Frame]:
        for frame in self._link.stream(op, body, **fields):
            if op != self._op or not frame.body:
                yield frame
                continue
            rows = json.loads(zlib.decompress(frame.body))
            told = self._lie(rows)
            packed = told if isinstance(told, bytes) else zlib.compress(json.dumps(told).encode())
            yield frame._replace(body=packed)


FILE = ["file", 9, False, "", 0, [1, 9, 0, 0, 33188]]
LIES: dict[str, Callable[[Any], Any]] = {
    "climbs out": lambda rows: [*rows, ["../outside/f", *FILE]] if isinstance(rows, list) else rows,
    "is absolute": lambda rows: [*rows, ["/etc/cron.d/f", *FILE]] if isinstance(rows, list) else rows,
    "has a hidden step": lambda rows: [*rows, ["d/../../f", *FILE]] if isinstance(rows, list) else rows,
    "has a NUL": lambda rows: [*rows, ["a\0b", *FILE]] if isinstance(rows, list) else rows,
    "is no row": lambda _rows: [["x"]],
    "is no list": lambda _rows: "x",
    "has another kind": lambda rows: [*rows, ["x", "door", *FILE[1:]]] if isinstance(rows, list) else rows,
    "is no JSON": lambda _rows: zlib.compress(b"{"),
    "is a bomb": lambda _rows: zlib.compress(b" " * (65 << 20)),
    "is not packed": lambda _rows: b"rubbish",
}


def whatever_an_agent_says_nothing_outside_the_folder_is_touched(scene: Scene) -> None:
    outside = scene.top / "outside"
    outside.mkdir()
    (outside / "f").write_text("precious")
    pair = scene.pair()
    pair.both({f"anchor{number}": "stays" for number in range(9)}).synced()
    before = pair.local.files()
    assert pair.link is not None
    for name, lie in LIES.items():
        pair.pod.write("pod only", name)  # something to tell, true or not
        pair.session.attach(Liar(pair.link, "files.survey", lie))  # type: ignore[arg-type]
        with pytest.raises(DevpodError):
            pair.session.synchronise()
        assert pair.local.files() == before, name
        assert {path.name: path.read_text() for path in outside.iterdir()} == {"f": "precious"}
    pair.disconnect()
    settled(pair)


def a_link_that_the_pod_plants_is_never_written_through(scene: Scene) -> None:
    """First a link, then a file below its name: the second must not follow the first."""
    outside = scene.top / "outside"
    outside.mkdir()
    pair = scene.pair()
    pair.both({f"anchor{number}": "stays" for number in range(9)}).synced()
    os.symlink("../outside", pair.local.root / "door")
    pair.pod.write("door/f", "planted")

    def lie(rows: Any) -> Any:
        return [*rows, ["back", "symlink", 0, False, "../outside", 0, None]] if isinstance(rows, list) else rows

    pair.connect()
    assert pair.link is not None
    pair.session.attach(Liar(pair.link, "files.survey", lie))  # type: ignore[arg-type]
    with contextlib.suppress(DevpodError):
        pair.session.synchronise()
    assert list(outside.iterdir()) == []
    assert not os.path.lexists(pair.local.root / "back")


def a_python_without_ctypes_runs_the_agent(scene: Scene) -> None:
    """As one that was built without libffi: no inotify and no syncfs, but everything arrives."""
    blocker = 'import sys;sys.modules["ctypes"]=sys.modules["_ctypes"]=None;'
    pair = scene.pair(command=lambda command: command.replace("import os,zlib;", blocker + "import os,zlib;"))
    pair.both({f"f{number}": "1" for number in range(80)}).synced()
    pair.local.write("f1", "2")
    pair.pod.write("f2", "2")
    settled(pair)
    assert pair.trash() == {"f1": "1"}


def a_pod_whose_container_disk_was_reset_but_not_its_volume_needs_no_upload(scene: Scene) -> None:
    pair = scene.pair()
    pair.both({f"d/f{number}": "1" for number in range(9)}).synced()
    pair.disconnect()
    # The volume comes back under another container: same folders, another agent, nothing of ours but the volume.
    os.rename(pair.volume, pair.tmp_path / "detached")
    os.rename(pair.tmp_path / "detached", pair.volume)
    pair.restart()
    assert pair.sync().uploaded_files == 0


def a_pod_whose_volume_was_lost_halts_and_a_yes_fills_the_new_one(scene: Scene) -> None:
    pair = scene.pair()
    pair.both({f"d/f{number}": "1" for number in range(9)}).synced()
    pair.disconnect()
    shutil.rmtree(pair.volume)
    Path(pair.volume).mkdir()
    with pytest.raises(SyncHalted):
        pair.sync()
    assert len(pair.local.files()) == 10
    pair.session.accept()
    settled(pair)
    assert len(pair.pod.files()) == 10
