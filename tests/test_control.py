"""The keeper's socket, and starting and ending keepers: real sockets, real processes."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from devpod_rp import control, environments, paths
from devpod_rp.control import endpoint as endpoints
from devpod_rp.control.endpoint import Endpoint
from devpod_rp.environments import VolumeRecord
from devpod_rp.errors import ConfigurationError, ExitCode, SyncError

Serve = Callable[..., control.ControlServer]


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # Not below tmp_path, which may be too deep for a socket.
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="rp-") as folder:
        monkeypatch.setenv("DEVPOD_RP_HOME", folder)
        yield Path(folder)


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[control.ControlServer] = []

    def serve(handler: control.Handler, name: str = "demo") -> control.ControlServer:
        paths.environment_dir(name).mkdir(mode=0o700, parents=True, exist_ok=True)
        servers.append(control.ControlServer(name, handler))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[str]:
    """The name of an environment whose pod cannot be reached: its keeper runs, and connects to nothing."""
    environment = environments.create(
        name="demo",
        cloud="local",
        api_url="http://127.0.0.1:1",
        folder=str(tmp_path),
        workspace="/workspace/demo",
        spec={"sync": {"mode": "one-way-safe", "ignore": [], "enabled": True}},
        volume=VolumeRecord(kind="disk", id=None, size_gb=20, path="/workspace"),
    )
    environments.save(dataclasses.replace(environment, status="EXITED", pod_id="p0d"))
    yield "demo"
    control.stop_keeper("demo")


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within ten seconds"
        time.sleep(0.01)


def echo(op: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"op": op, **fields}


# The conversation.


def test_a_request_is_answered_by_the_handler(serve: Serve) -> None:
    serve(echo)
    assert control.keeper_request("demo", "flush", path="ü\udcff\n") == {"op": "flush", "path": "ü\udcff\n"}


def test_an_answer_may_be_large(serve: Serve) -> None:
    serve(lambda _op, _fields: {"conflicts": ["x" * 1000] * 5000})
    assert len(control.keeper_request("demo", "status")["conflicts"]) == 5000


def test_an_error_arrives_with_its_words_and_its_exit_code(serve: Serve) -> None:
    def refuse(op: str, fields: dict[str, Any]) -> dict[str, Any]:
        raise SyncError("The synchronisation is paused.", hint="devpod-rp sync resume")

    serve(refuse)
    with pytest.raises(control.KeeperRefused, match="is paused") as caught:
        control.keeper_request("demo", "flush")
    assert (caught.value.exit_code, caught.value.kind) == (ExitCode.SYNC, "sync")
    assert caught.value.hint == "devpod-rp sync resume"


def test_an_unexpected_error_is_one_line_for_the_caller_and_does_not_end_the_server(serve: Serve) -> None:
    def fail(op: str, fields: dict[str, Any]) -> dict[str, Any]:
        return {} if op == "status" else {"x": 1 // 0}

    serve(fail)
    with pytest.raises(control.KeeperRefused, match="ZeroDivisionError"):
        control.keeper_request("demo", "flush")
    assert control.keeper_request("demo", "status") == {}


def test_a_slow_request_does_not_hold_up_another(serve: Serve) -> None:
    asked, released = threading.Event(), threading.Event()

    def handler(op: str, fields: dict[str, Any]) -> dict[str, Any]:
        if op == "flush":
            asked.set()
            released.wait(10)
        return {"op": op}

    serve(handler)
    flush = threading.Thread(target=control.keeper_request, args=("demo", "flush"))
    flush.start()
    assert asked.wait(10)
    assert control.keeper_request("demo", "status") == {"op": "status"}
    assert control.keeper_running("demo")
    released.set()
    flush.join()


def test_who_waits_too_long_is_told_so_and_where_to_look(serve: Serve) -> None:
    released = threading.Event()
    serve(lambda _op, _fields: {"released": released.wait(10)})
    with pytest.raises(control.KeeperSilent, match="did not answer 'flush'") as caught:
        control.keeper_request("demo", "flush", timeout=0.1)
    assert "logs demo --keeper" in str(caught.value.hint)
    released.set()


def test_closing_answers_what_is_under_way_and_takes_nothing_more(serve: Serve) -> None:
    asked, released = threading.Event(), threading.Event()

    def handler(op: str, fields: dict[str, Any]) -> dict[str, Any]:
        asked.set()
        released.wait(10)
        return {"op": op}

    server = control.ControlServer("demo", handler)
    answers: list[dict[str, Any]] = []
    caller = threading.Thread(target=lambda: answers.append(control.keeper_request("demo", "flush")))
    caller.start()
    assert asked.wait(10)
    closing = threading.Thread(target=server.close)
    closing.start()
    eventually(lambda: endpoints.read_endpoint("demo") is None)
    with pytest.raises(control.KeeperNotRunning):
        control.keeper_request("demo", "status")
    released.set()
    closing.join(10)
    caller.join(10)
    assert answers == [{"op": "flush"}]
    assert not any(paths.environment_dir("demo").iterdir())


@pytest.mark.parametrize("line", [b"nonsense\n", b"[]\n", b'{"op": 1, "token": "", "fields": {}}\n', b'{"op": "x"}\n'])
def test_nonsense_is_refused_and_does_not_end_the_server(serve: Serve, line: bytes) -> None:
    serve(echo)
    endpoint = endpoints.read_endpoint("demo")
    assert endpoint is not None
    with endpoints.connect(endpoint, 5) as connection:
        connection.sendall(line)
        assert json.loads(connection.makefile().readline())["error"]["code"] == ExitCode.USAGE
    with endpoints.connect(endpoint, 5):
        pass
    assert control.keeper_running("demo")


def test_only_who_can_read_the_token_may_ask_over_the_loopback_interface(serve: Serve) -> None:
    serve(echo)
    known = endpoints.read_endpoint("demo")
    assert known is not None
    endpoints.write_endpoint("demo", dataclasses.replace(known, token="guessed"))
    with pytest.raises(control.KeeperRefused, match="token"):
        control.keeper_request("demo", "status")
    endpoints.write_endpoint("demo", known)
    assert stat.S_IMODE(endpoints.endpoint_file("demo").stat().st_mode) == 0o600


# Where it listens.


def test_the_socket_is_open_to_its_user_alone(serve: Serve) -> None:
    serve(echo)
    endpoint = endpoints.read_endpoint("demo")
    assert endpoint is not None
    assert endpoint.path is not None
    assert stat.S_IMODE(Path(endpoint.path).stat().st_mode) == 0o600


def test_a_path_too_long_for_a_socket_is_replaced_by_a_short_one(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEVPOD_RP_HOME", str(tmp_path / ("long" * 30)))
    serve(echo)
    endpoint = endpoints.read_endpoint("demo")
    assert endpoint is not None
    assert endpoint.path is not None
    assert len(endpoint.path) <= 100
    assert stat.S_IMODE(Path(endpoint.path).parent.stat().st_mode) == 0o700
    assert control.keeper_request("demo", "status") == {"op": "status"}


def test_a_directory_that_others_can_open_is_not_used_for_sockets(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEVPOD_RP_HOME", str(tmp_path / ("long" * 30)))
    with tempfile.TemporaryDirectory(dir="/tmp") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        prepared = Path(runtime) / f"devpod_rp-{os.getuid()}"
        prepared.mkdir()
        prepared.chmod(0o777)
        with pytest.raises(ConfigurationError, match="only you can open"):
            serve(echo)


def test_a_socket_that_a_killed_keeper_left_is_replaced(serve: Serve) -> None:
    left = paths.environment_dir("demo") / "keeper.sock"
    left.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
    serve(echo)
    assert control.keeper_running("demo")


def test_nobody_answers_for_an_environment_without_a_keeper() -> None:
    assert not control.keeper_running("demo")
    with pytest.raises(control.KeeperNotRunning) as caught:
        control.keeper_request("demo", "status")
    assert caught.value.exit_code is ExitCode.UNREACHABLE
    assert "devpod-rp up demo" in str(caught.value.hint)


def test_a_damaged_endpoint_file_is_named() -> None:
    file = endpoints.endpoint_file("demo")
    file.parent.mkdir(parents=True)
    file.write_text("{")
    with pytest.raises(ConfigurationError, match=r"keeper\.json cannot be read"):
        control.keeper_running("demo")


# Processes.


def test_a_detached_process_writes_to_its_log_and_knows_our_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEVPOD_RP_HOME", "relative/home")
    code = "import os; from devpod_rp import paths; print(paths.state_dir()); print(os.getsid(0) == os.getpid())"
    log = tmp_path / "logs" / "child.log"
    control.spawn_detached([sys.executable, "-c", code], log)
    eventually(lambda: log.read_text().count("\n") == 2)
    assert log.read_text() == f"{tmp_path}/relative/home/state\nTrue\n"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_a_keeper_is_started_once_and_ends_when_asked(recorded: str) -> None:
    control.start_keeper(recorded)
    first = control.keeper_request(recorded, "status")
    control.start_keeper(recorded)
    assert control.keeper_request(recorded, "status")["pid"] == first["pid"]
    assert first["connected"] is False
    control.stop_keeper(recorded)
    assert not psutil.pid_exists(first["pid"]) or psutil.Process(first["pid"]).status() == psutil.STATUS_ZOMBIE
    assert not control.keeper_running(recorded)
    assert "keeper=ended" in control.keeper_log_file(recorded).read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_keeper_ends_in_order_when_a_signal_says_so(recorded: str, number: signal.Signals) -> None:
    control.start_keeper(recorded)
    keeper = psutil.Process(control.keeper_request(recorded, "status")["pid"])
    keeper.send_signal(number)
    eventually(lambda: not keeper.is_running() or keeper.status() == psutil.STATUS_ZOMBIE)
    assert control.keeper_log_file(recorded).read_text().count("keeper=ended") == 1


def test_two_commands_that_start_a_keeper_at_once_get_the_same_one(recorded: str) -> None:
    failures: list[Exception] = []

    def start() -> None:
        try:
            control.start_keeper(recorded)
        except control.KeeperNotStarted as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    mine = psutil.Process().children()
    keepers = [
        each
        for each in mine
        if each.status() != psutil.STATUS_ZOMBIE and each.cmdline()[-2:] == ["devpod_rp.keeper", recorded]
    ]
    eventually(lambda: len([each for each in keepers if each.is_running() and each.status() != "zombie"]) == 1)


def test_a_killed_keeper_is_replaced_by_the_next_start(recorded: str) -> None:
    control.start_keeper(recorded)
    pid = control.keeper_request(recorded, "status")["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not control.keeper_running(recorded))
    control.start_keeper(recorded)
    assert control.keeper_request(recorded, "status")["pid"] != pid


def test_a_keeper_whose_socket_vanished_is_replaced(recorded: str) -> None:
    control.start_keeper(recorded)
    process = psutil.Process(control.keeper_request(recorded, "status")["pid"])
    endpoint = endpoints.read_endpoint(recorded)
    assert endpoint is not None
    assert endpoint.path is not None
    Path(endpoint.path).unlink()
    control.start_keeper(recorded)
    assert control.keeper_request(recorded, "status")["pid"] != process.pid
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_keeper_of_another_version_is_replaced(recorded: str, tmp_path: Path) -> None:
    code = (
        "import devpod_rp; devpod_rp.__version__ = 'older'\nfrom devpod_rp.keeper.__main__ import main; main(['demo'])"
    )
    older = control.spawn_detached([sys.executable, "-c", code], tmp_path / "older.log")
    eventually(lambda: control.keeper_running(recorded))
    control.start_keeper(recorded)
    assert control.keeper_request(recorded, "status")["pid"] != older


def test_a_keeper_that_does_not_listen_is_ended_by_force(recorded: str) -> None:
    control.start_keeper(recorded)
    process = psutil.Process(control.keeper_request(recorded, "status")["pid"])
    process.suspend()
    control.stop_keeper(recorded, timeout_seconds=0.2, term_seconds=0.2)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert endpoints.read_endpoint(recorded) is None


def test_a_signal_ends_a_keeper_cleanly(recorded: str) -> None:
    control.start_keeper(recorded)
    process = psutil.Process(control.keeper_request(recorded, "status")["pid"])
    process.terminate()
    eventually(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
    assert endpoints.read_endpoint(recorded) is None
    assert "keeper=ended" in control.keeper_log_file(recorded).read_text()


def test_a_process_that_got_a_dead_keepers_pid_is_never_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as innocent:
        started = psutil.Process(innocent.pid).create_time()
        endpoints.write_endpoint("demo", Endpoint(innocent.pid, started - 60, path="/nonexistent/keeper.sock"))
        control.stop_keeper("demo")
        assert innocent.poll() is None
        innocent.kill()
    assert endpoints.read_endpoint("demo") is None


def test_stopping_where_no_keeper_runs_is_harmless() -> None:
    control.stop_keeper("demo")


def test_a_keeper_that_cannot_start_says_why(home: Path) -> None:
    with pytest.raises(control.KeeperNotStarted, match="There is no environment named nowhere"):
        control.start_keeper("nowhere")
