"""What is this person's stays with this person: agent and identity reach the pod only when asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.conftest import World, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(300)]

_NAME = 'Ada "Countess" $LOVELACE'


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An SSH agent with one key; gives its socket."""
    if shutil.which("ssh-agent") is None:
        pytest.skip("no ssh-agent on this machine")
    folder = tmp_path_factory.mktemp("agent")
    socket = str(folder / "socket")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "mine", "-f", str(key)], check=True)
        environ = {**os.environ, "SSH_AUTH_SOCK": socket}
        eventually(lambda: os.path.exists(socket), "the agent listens")
        subprocess.run(["ssh-add", "-q", str(key)], env=environ, check=True)
        yield socket
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def pod(world: World) -> Iterator[World]:
    subprocess.run(["git", "init", "-q", str(world.folder)], check=True)
    for key, value in (("user.name", _NAME), ("user.email", "ada@example.com")):
        subprocess.run(["git", "-C", str(world.folder), "config", key, value], check=True)
    world.up()
    yield world
    world.run("delete", "--yes", "--force")


def keys_seen(pod: World, agent: str) -> str:
    done = subprocess.run(
        ["ssh", "-F", str(pod.ssh_config), "-o", "BatchMode=yes", "proj.devpod", "ssh-add -l"],
        env={**os.environ, "SSH_AUTH_SOCK": agent}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_unless_asked_for_the_pod_sees_neither_agent_nor_identity(pod: World, agent: str) -> None:
    assert "mine" not in keys_seen(pod, agent)
    assert pod.ssh("git config --global user.email").exit_code == 1


def test_asked_for_they_are_there_from_the_next_up_on(pod: World, agent: str) -> None:
    (pod.folder / "devpod-rp.toml").write_text("forward_agent = true\ngit_identity = true\n")
    pod.up()
    assert "mine" in keys_seen(pod, agent)
    assert pod.ssh("git config --global user.name").stdout == _NAME + "\n"
    assert pod.ssh("git config --global user.email").stdout == "ada@example.com\n"


def test_an_identity_that_the_pod_has_stays(pod: World) -> None:
    assert pod.ssh("git config --global user.email other@example.com").exit_code == 0
    pod.up()
    assert pod.ssh("git config --global user.email").stdout == "other@example.com\n"
    assert pod.ssh("git config --global user.name").stdout == _NAME + "\n"


def test_taken_back_the_agent_is_out_of_reach_again(pod: World, agent: str) -> None:
    (pod.folder / "devpod-rp.toml").write_text("")
    pod.up()
    assert "mine" not in keys_seen(pod, agent)


def test_without_an_identity_here_it_is_said_and_nothing_fails(pod: World, tmp_path: Path) -> None:
    for key in ("user.name", "user.email"):
        subprocess.run(["git", "-C", str(pod.folder), "config", "--unset", key], check=True)
    (pod.folder / "devpod-rp.toml").write_text("git_identity = true\n")
    done = pod.run("up", "--yes", "--json", HOME=str(tmp_path), GIT_CONFIG_NOSYSTEM="1", XDG_CONFIG_HOME=str(tmp_path))
    assert done.exit_code == 0
    assert "git here knows no name" in done.stderr
