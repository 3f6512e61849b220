"""Both SSH servers do what editors, transfers and tunnels need."""

from __future__ import annotations

import socket
import subprocess
import threading
from pathlib import Path

import pytest

from devpod_rp.localcloud import sandbox
from tests.localcloud.double import eventually
from tests.localcloud.sandbox.conftest import MakePod, Pod, _free_port

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


@pytest.fixture(scope="module", params=["openssh", "asyncssh"])
def pod(request: pytest.FixtureRequest, make_pod: MakePod) -> Pod:
    if request.param == "openssh" and sandbox.probe().sshd != "openssh":
        pytest.skip("this machine has no OpenSSH server")
    return make_pod(ssh_server=request.param).start()


def test_it_is_the_server_that_was_asked_for(pod: Pod) -> None:
    assert (b"OpenSSH" in pod.banner()) == (pod.machine.ssh_server == "openssh")


def test_output_errors_and_exit_code_come_back_apart(pod: Pod) -> None:
    done = pod.ssh("printf out; printf err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == (b"out", b"err", 7)


def test_input_goes_in_whole_and_binary(pod: Pod) -> None:
    data = bytes(range(256)) * 4096
    done = pod.ssh("cat", stdin=data)
    assert done.stdout == data


def test_a_terminal_is_one_and_knows_its_size(pod: Pod) -> None:
    done = pod.ssh("tty && stty size && echo $TERM", "-tt")
    assert done.stdout.startswith(b"/dev/pts/")
    assert pod.ssh("tty").stdout == b"not a tty\n"


def test_a_wrong_key_is_refused(pod: Pod, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    command = pod.client("ssh")
    command[command.index("-i") + 1] = str(tmp_path / "other")
    command += ["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "root@127.0.0.1", "id"]
    refused = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert refused.returncode == 255
    assert b"Permission denied" in refused.stderr


@pytest.mark.parametrize("protocol", ["-s", "-O"], ids=["SFTP", "SCP"])
def test_files_travel_both_ways(pod: Pod, tmp_path: Path, protocol: str) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(bytes(range(256)) * 1000)
    copy = [*pod.client("scp"), protocol]
    subprocess.run([*copy, source, "root@127.0.0.1:/root/copied"], check=True, timeout=60)
    subprocess.run([*copy, "root@127.0.0.1:/root/copied", back], check=True, timeout=60)
    assert back.read_bytes() == source.read_bytes()


def test_a_port_of_the_pod_is_reached_through_a_tunnel(pod: Pod) -> None:
    with socket.create_server(("127.0.0.1", 0)) as service:
        threading.Thread(target=_greet, args=(service,), daemon=True).start()
        inside, outside = service.getsockname()[1], _free_port()
        command = [*pod.client("ssh"), "-N", "-L", f"{outside}:127.0.0.1:{inside}", "root@127.0.0.1"]
        tunnel = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            assert eventually(lambda: _heard(outside), "the tunnel carries") == b"hello"
        finally:
            tunnel.terminate()
            tunnel.wait(10)


def test_many_connections_at_once(pod: Pod) -> None:
    running = [
        subprocess.Popen([*pod.client("ssh"), "root@127.0.0.1", f"sleep 1; echo {number}"], stdout=subprocess.PIPE)
        for number in range(8)
    ]
    assert [process.communicate(timeout=60)[0] for process in running] == [b"%d\n" % number for number in range(8)]


def test_a_command_ends_with_its_connection(pod: Pod) -> None:
    process = subprocess.Popen([*pod.client("ssh"), "-tt", "root@127.0.0.1", "sleep 987"], stdin=subprocess.PIPE)
    eventually(lambda: pod.ssh("pgrep -f '[s]leep 987'").returncode == 0, "the command runs")
    process.kill()
    process.wait()
    eventually(lambda: pod.ssh("pgrep -f '[s]leep 987'").returncode != 0, "the command is gone")


def _greet(service: socket.socket) -> None:
    connection, _ = service.accept()
    with connection:
        connection.sendall(b"hello")


def _heard(port: int) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as connection:
            return connection.recv(16)
    except OSError:
        return b""
