"""``auto_start``: ssh starts a stopped environment for a person at a terminal, and never for anything else."""

from __future__ import annotations

import os
import pty
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devpod_rp.runpod.client import RunPod
from devpod_rp.ssh.on_demand import lately, unattended
from tests.end_to_end.conftest import World, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(600)]

_SECONDS = 150


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("auto start"))
    (world.folder / "devpod-rp.toml").write_text("auto_start = true\n")
    try:
        world.up()
        yield world
    finally:
        world.end()


@pytest.fixture
def stopped(world: World) -> World:
    assert world.run("stop", "--force", "--json").exit_code == 0
    assert status(world) == "EXITED"
    return world


def status(world: World) -> str:
    return str(world.run("status", "--json").json["status"])


def ssh(world: World, *arguments: str) -> list[str]:
    return ["ssh", "-F", str(world.ssh_config), *arguments]


def at_a_terminal(world: World, *command: str, when: str = "", types: str = "") -> tuple[int, str]:
    """Run *command* as the only job of a terminal of its own; its exit code and what was on the screen.

    Once *when* is there to be read, somebody *types*.
    """
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(world.folder)
        os.execvpe(command[0], list(command), world.environ)
    screen = b""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1.0)[0]:
            continue
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:
            break  # the last program of the terminal has ended
        if not data:
            break
        screen += data
        if when and when.encode() in screen:
            os.write(terminal, types.encode())
            when = ""
    os.close(terminal)
    _, ended = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(ended), screen.decode("utf-8", "replace")


def test_while_the_pod_runs_every_kind_of_ssh_passes_through(world: World) -> None:
    assert world.ssh("printf 'a b'; exit 3").stdout == "a b"
    assert world.ssh("exit 3").exit_code == 3
    payload = os.urandom(3_000_000)
    done = subprocess.run(
        ssh(world, "proj.devpod", "cat"), input=payload, capture_output=True, check=False, timeout=_SECONDS
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == payload


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("-T", "-D", "41977", "-o", "ConnectTimeout=15", "proj.devpod", "bash"), id="an editor"),
        pytest.param(("-N", "-L", "41978:127.0.0.1:80", "proj.devpod"), id="a tunnel"),
        pytest.param(("proj.devpod", "true"), id="a script"),
    ],
)
def test_nothing_in_the_background_starts_it(world: World, arguments: tuple[str, ...]) -> None:
    if status(world) == "RUNNING":
        assert world.run("stop", "--force", "--json").exit_code == 0
    for _ in range(2):
        done = subprocess.run(
            ssh(world, *arguments),
            env=world.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        assert done.returncode == 255
        assert "is not started: nobody at a terminal asks for it. devpod-rp up proj starts it." in done.stderr
    assert status(world) == "EXITED"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("-N", "-L", "41978:127.0.0.1:80", "proj.devpod"), id="a tunnel"),
        pytest.param(("-o", "BatchMode=yes", "proj.devpod", "true"), id="batch mode"),
    ],
)
def test_a_tunnel_that_is_kept_alive_in_a_terminal_does_not_start_it_either(
    world: World, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where COLUMNS is exported, ps cuts its lines there: what ssh was asked must be read whole all the same.
    monkeypatch.setitem(world.environ, "COLUMNS", "40")
    if status(world) == "RUNNING":
        assert world.run("stop", "--force", "--json").exit_code == 0
    code, screen = at_a_terminal(world, *ssh(world, *arguments))
    assert code == 255, screen
    assert "is not started" in screen
    assert status(world) == "EXITED"


def test_a_background_job_of_a_terminal_does_not_start_it(stopped: World) -> None:
    line = " ".join(f"'{word}'" for word in ssh(stopped, "proj.devpod", "true"))
    _, screen = at_a_terminal(stopped, "bash", "-ic", f"set -m; {line} < /dev/null & wait $!; echo code $?")
    assert "this is a background job" in screen
    assert "code 255" in screen
    assert status(stopped) == "EXITED"


def test_the_synchronisation_does_not_start_it(stopped: World) -> None:
    asked = stopped.run("sync", "flush", "--json")
    assert asked.exit_code != 0
    assert status(stopped) == "EXITED"


def test_a_person_at_a_terminal_starts_it_sees_so_and_gets_the_answer_and_exit_code(stopped: World) -> None:
    code, screen = at_a_terminal(stopped, *ssh(stopped, "-t", "proj.devpod", "echo answer $((40+2)); exit 3"))
    assert "starting it (auto_start)" in screen
    assert "answer 42" in screen, screen
    assert code == 3
    assert status(stopped) == "RUNNING"
    eventually(lambda: stopped.ssh("true").exit_code == 0, "the next connection is an ordinary one")


def test_a_loop_in_a_terminal_starts_nothing_before_somebody_presses_enter(world: World) -> None:
    if status(world) != "RUNNING":
        world.up()
    connect = shlex.join(ssh(world, "-t", "proj.devpod", "echo answer $((40+2))"))
    stop = f"{shlex.join([sys.executable, '-m', 'devpod_rp'])} stop --force --json > /dev/null 2>&1"
    turns = f"{connect}; {stop}; {connect}"
    _, screen = at_a_terminal(world, "bash", "-c", turns, when="Enter starts it", types="\r")
    assert screen.count("answer 42") == 2, screen
    _, screen = at_a_terminal(world, "bash", "-c", turns, when="Enter starts it", types="\x03")
    assert screen.count("answer 42") == 1, screen
    assert "starting it" not in screen
    assert status(world) == "EXITED"


def test_the_ssh_configuration_follows_a_pod_that_was_stopped_elsewhere(world: World) -> None:
    pod = world.up()["pod_id"]
    cloud = world.local_cloud()
    with RunPod(cloud["url"], cloud["token"]) as client:
        client.stop_pod(pod)
    hosts = world.home / "ssh" / "config"
    eventually(lambda: "is stopped" in hosts.read_text(), "the keeper has written that it is stopped", seconds=90)
    code, screen = at_a_terminal(world, *ssh(world, "-t", "proj.devpod", "echo here"))
    assert "here" in screen
    assert code == 0


def test_without_the_option_there_is_no_proxy(world: World) -> None:
    resolved = subprocess.run(
        ssh(world, "-G", "proj.devpod"), capture_output=True, text=True, check=True, timeout=_SECONDS
    ).stdout
    assert "proxycommand" in resolved
    (world.folder / "devpod-rp.toml").write_text("")
    world.up()
    resolved = subprocess.run(
        ssh(world, "-G", "proj.devpod"), capture_output=True, text=True, check=True, timeout=_SECONDS
    ).stdout
    assert "proxycommand" not in resolved


def test_only_the_same_terminal_and_only_for_a_while_counts_as_a_loop(tmp_path: Path) -> None:
    notes, now = tmp_path / "notes", time.time()
    assert not lately(str(notes), "pts/1 77", now)
    notes.write_text(f"pts/1 77 {now}\npts/2 5 {now - 100}\n")
    assert lately(str(notes), "pts/1 77", now + 250)
    assert lately(str(notes), "pts/2 5", now), "each terminal has its own"
    assert not lately(str(notes), "pts/2 5", now + 250)
    assert not lately(str(notes), "pts/1 78", now)
    assert not lately(str(notes), None, now)
    notes.write_text("cut off")
    assert not lately(str(notes), "pts/1 77", now)


@pytest.mark.parametrize(
    ("line", "alone"),
    [
        ("proj.devpod", False),
        ("-t -p 22 -i key proj.devpod tmux -N", False),
        ("-L 8888:localhost:8888 proj.devpod", False),
        ("-vA -oUser=N proj.devpod", False),
        ("-F /home/my files/config me@proj.devpod ls -N", False),
        ("proj.devpod -p 22 tmux -N", False),
        ("-F /home/my files/config -N me@proj.devpod", True),
        ("proj.devpod -N", True),
        ("-N proj.devpod", True),
        ("-fNL 1:x:2 proj.devpod", True),
        ("-T -D 41007 proj.devpod bash", True),
        ("-W host:22 proj.devpod", True),
        ("-o BatchMode=yes proj.devpod", True),
        ("-oBatchMode=yes proj.devpod", True),
    ],
)
def test_what_ssh_was_asked_tells_a_tunnel_from_a_person(line: str, alone: bool) -> None:
    assert unattended(line.split(), "proj.devpod") is alone
