"""A keeper between two real folders: a real session, watcher, socket and agent process; only the cloud is played."""

from __future__ import annotations

import dataclasses
import queue
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from devpod_rp import control, environments, paths
from devpod_rp.environments import Environment, VolumeRecord
from devpod_rp.errors import UnreachableError
from devpod_rp.keeper.clock import Clock, SystemClock
from devpod_rp.keeper.parts import Parts
from devpod_rp.keeper.service import Keeper
from devpod_rp.keeper.state import Timing
from devpod_rp.pod.link import AgentLink
from devpod_rp.ssh.errors import NothingListens, Unreachable
from devpod_rp.sync.session import Session
from devpod_rp.sync.watch import Watcher
from tests.pod.local import LocalConnection

# Everything that is seconds in real life is tenths here, so that no test waits for it.
QUICK = Timing(
    ping_seconds=0.1,
    dead_seconds=0.5,
    full_seconds=60.0,
    poll_seconds=0.1,
    first_backoff_seconds=0.05,
    longest_backoff_seconds=0.2,
    tick_seconds=0.1,
    deferred_seconds=0.1,
)


class FakeClock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self._monotonic = 1000.0
        self._wall = 1_700_000_000.0
        self._rounds = 0

    def monotonic(self) -> float:
        return self._monotonic

    def wall(self) -> float:
        return self._wall

    def pass_(self, seconds: float) -> None:
        self._monotonic += seconds
        self._wall += seconds

    def sleep_machine(self, seconds: float) -> None:
        """As when a laptop's lid is closed: the monotonic clock stands still."""
        self._wall += seconds

    def go_round(self) -> None:
        """Return when the loop has looked at the present time and found nothing to do."""
        before = self._rounds
        eventually(lambda: self._rounds >= before + 3)

    def next_message(self, inbox: queue.SimpleQueue[Any], _seconds: float) -> Any:
        self._rounds += 1
        try:
            return inbox.get(timeout=0.01)
        except queue.Empty:
            return None


class Cloud:
    """What the cloud says of the pod, and how often it was asked."""

    def __init__(self) -> None:
        self.status = "RUNNING"
        self.reachable = True
        self.asked = 0
        self.revived = 0
        self.scarce = False

    def refresh(self, environment: Environment) -> Environment:
        self.asked += 1
        if not self.reachable:
            raise UnreachableError("the cloud does not answer")
        return environments.save(dataclasses.replace(environment, status=self.status))

    def revive(self, environment: Environment) -> Environment:
        self.revived += 1
        if self.scarce:
            raise UnreachableError("the pod was outbid; waiting")
        self.status = "RUNNING"
        return environments.save(dataclasses.replace(environment, status="RUNNING"))


class SocketStream:
    """A socket with the words of a channel."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self.recv, self.sendall, self.close = stream.recv, stream.sendall, stream.close

    def shutdown_write(self) -> None:
        self._stream.shutdown(socket.SHUT_WR)


class Line(LocalConnection):
    """A connection whose agent dies when it is closed, also if it is frozen. Any thread may close it, as with SSH."""

    def __init__(self) -> None:
        super().__init__()
        self._closing = threading.Lock()

    def dial(self, port: int) -> SocketStream:
        """As SSH does it: to the loopback of the machine at the other end, which is this one."""
        if self.closed:
            raise Unreachable("the connection is lost")
        try:
            return SocketStream(socket.create_connection(("127.0.0.1", port), 10))
        except ConnectionRefusedError as error:
            raise NothingListens(f"Nothing listens on port {port} of the pod.") from error

    def close(self) -> None:
        with self._closing:
            if not self.closed:
                for channel in self.channels:
                    channel.signal(signal.SIGKILL)
                super().close()


class Pod:
    """The machine at the other end: agent processes of this machine, which can be frozen, killed, or out of reach."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reachable = True
        self.attempts = 0
        self.connections: list[Line] = []
        self.link: type[AgentLink] = AgentLink

    def open_link(self, _environment: Environment) -> AgentLink:
        self.attempts += 1
        if not self.reachable:
            raise UnreachableError("nobody answers at 203.0.113.7:10022")
        self.connections.append(Line())
        return self.link.open(self.connections[-1])

    def signal(self, number: int) -> None:
        """To the agent that was connected last."""
        self.connections[-1].channels[-1].signal(number)

    def files(self) -> dict[str, str]:
        return {
            str(each.relative_to(self.folder)): each.read_text() for each in self.folder.rglob("*") if each.is_file()
        }


class Rig:
    """Everything around one keeper, and the words of the tests. What an earlier one left in *tmp_path* is taken up."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "project"
        for folder in (self.folder, tmp_path / "volume"):
            folder.mkdir(exist_ok=True)
        self.pod = Pod(tmp_path / "volume" / "project")
        self.cloud = Cloud()
        self.watch: Callable[..., Any] = Watcher
        self.open_session: Callable[[Environment], Session] = self._open_session
        self.name = "demo"
        self.mode = "one-way-safe"
        self.record = environments.find(self.name) or self._record()
        self.deaths: list[str] = []
        self.notices: list[tuple[str, str]] = []
        self._running: list[tuple[Keeper, threading.Thread]] = []

    def start(self, clock: Clock | None = None, timing: Timing = QUICK) -> Keeper:
        parts = Parts(
            open_session=lambda environment: self.open_session(environment),
            watch=self.watch,
            refresh=self.cloud.refresh,
            revive=self.cloud.revive,
            notify=lambda title, text: self.notices.append((title, text)),
            open_link=self.pod.open_link,
            clock=clock or SystemClock(),
            timing=timing,
        )
        keeper = Keeper(self.name, parts)
        thread = threading.Thread(target=self._run, args=(keeper,), name="test-keeper")
        thread.start()
        self._running.append((keeper, thread))
        eventually(lambda: control.keeper_running(self.name))
        return keeper

    def stop(self) -> None:
        """End every keeper; the test fails if one does not end."""
        for keeper, thread in self._running:
            keeper.stop()
            thread.join(20)
            assert not thread.is_alive(), "the keeper does not end"
            assert self.deaths == []
        self._running.clear()

    def _run(self, keeper: Keeper) -> None:
        try:
            keeper.run()
        except BaseException:
            self.deaths.append(traceback.format_exc())
            raise

    @property
    def alive(self) -> bool:
        return any(thread.is_alive() for _, thread in self._running)

    def write(self, path: str, text: str) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def ask(self, op: str, timeout: float = 20.0, **fields: Any) -> dict[str, Any]:
        return control.keeper_request(self.name, op, timeout=timeout, **fields)

    def until(self, **wanted: Any) -> dict[str, Any]:
        """Wait until status says what is *wanted*, and return all it says."""
        eventually(
            lambda: wanted.items() <= self.ask("status").items(),
            lambda: f"{wanted} did not come, but {self.ask('status')}",
        )
        return self.ask("status")

    def _record(self) -> Environment:
        environment = environments.create(
            name=self.name,
            cloud="local",
            api_url="http://127.0.0.1:1",
            folder=str(self.folder),
            workspace=str(self.pod.folder),
            spec={"sync": {"enabled": True}},
            volume=VolumeRecord(kind="disk", id=None, size_gb=20, path="/workspace"),
        )
        return environments.save(dataclasses.replace(environment, status="RUNNING", pod_id="p0d"))

    def _open_session(self, environment: Environment) -> Session:
        return Session(
            local_root=Path(environment.folder),
            remote_root=environment.workspace,
            state_dir=paths.environment_dir(environment.name) / "sync",
            mode=self.mode,
        )


def eventually(
    condition: Callable[[], bool], what: Callable[[], str] = lambda: "it did not happen", seconds: float = 20.0
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.01)
