"""What editors need of a host they reach by SSH: thirteen things, each asked for with OpenSSH's client as they do it.

Gathered from VS Code's Remote-SSH and its open counterpart, Cursor, Zed and JetBrains: what they run, forward and send.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import shlex
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services import free_port

_SECONDS = 45.0
# What the scripts that install a server call; one of the last two downloads it.
_TOOLS = "bash uname tar sed grep cat ls rm mv mkdir chmod touch tail date printenv sleep kill readlink ps base64 tr id"
_LOADERS = "wget curl"
# On the pod: a server that answers whoever says something; its place is a path, or a port of the loopback.
_ANSWERING = """
import socket, sys, threading
place = sys.argv[1]
server = socket.socket(socket.AF_UNIX if place else socket.AF_INET)
server.bind(place or ("127.0.0.1", 0))
server.listen()
print("listening", place or server.getsockname()[1], flush=True)
def answer(client):
    with client:
        client.sendall(b"heard " + client.recv(64))
while True:
    threading.Thread(target=answer, args=(server.accept()[0],)).start()
"""


class Client:
    """OpenSSH's client with the configuration *config*, for *host*; whatever it would have to ask fails it."""

    def __init__(self, config: Path, host: str) -> None:
        self.host = host
        self._options = ["-F", str(config), "-o", "BatchMode=yes", "-o", "ConnectTimeout=15"]

    def ssh(self, *arguments: str) -> list[str]:
        return ["ssh", *self._options, *arguments]

    def run(self, command: str, *options: str, stdin: bytes = b"") -> bytes:
        """What *command* prints, byte for byte; it must succeed."""
        return _done(self.ssh("-T", *options, self.host, command), stdin)

    def copy(self, *words: str) -> None:
        _done(["scp", "-q", *self._options, *words])

    @contextmanager
    def answering(self, place: str = "") -> Iterator[str]:
        """Where a server on the pod answers: *place*, a path for a socket, or a port."""
        command = f"exec python3 -u -c {shlex.quote(_ANSWERING)} {shlex.quote(place)}"
        with _running(self.ssh("-T", self.host, command)) as server:
            assert server.stdout is not None
            said = server.stdout.readline().split()
            assert said[:1] == [b"listening"], said
            yield said[1].decode()

    @contextmanager
    def connected(self, *options: str) -> Iterator[None]:
        """A connection that carries nothing but the forwarding that *options* ask for."""
        with _running(self.ssh("-N", "-T", "-o", "ExitOnForwardFailure=yes", *options, self.host)):
            yield


Need = Callable[[Client], None]
NEEDS: dict[str, Need] = {}


def need(name: str) -> Callable[[Need], Need]:
    def keep(function: Need) -> Need:
        NEEDS[name] = function
        return function

    return keep


@need("a command whose output is its own, with nothing of a start file in it")
def _clean(client: Client) -> None:
    token = secrets.token_hex(8)
    assert client.run(f"printf '{token}\\n\\0\\377'") == f"{token}\n".encode() + b"\0\xff"


@need("a script on the standard input of sh and of bash, whatever RemoteCommand says")
def _script(client: Client) -> None:
    for shell in ("sh", "bash"):
        mark = secrets.token_hex(6)
        script = f"echo {mark}: running\necho pid==$$==\necho {mark}: end\n"
        said = client.run(shell, "-o", "RemoteCommand=none", stdin=script.encode()).decode()
        assert re.fullmatch(rf"{mark}: running\npid==\d+==\n{mark}: end\n", said), (shell, said)


@need("a script in base64 that a login shell reads")
def _encoded(client: Client) -> None:
    script = base64.b64encode(b"[[ -n $BASH_VERSION ]] && shopt -q login_shell && echo bash\n").decode()
    assert client.run(f"echo {script} | base64 -d | bash -l") == b"bash\n"


@need("the tools that install a server")
def _tools(client: Client) -> None:
    wanted = _TOOLS.split()
    question = (
        f"for t in {_TOOLS} {_LOADERS}; do command -v $t >/dev/null 2>&1 && echo $t; done; sleep .01 && date +%s%N"
    )
    *found, nanoseconds = client.run("sh", stdin=question.encode()).decode().split()
    assert set(wanted) <= set(found), sorted(set(wanted) - set(found))
    assert set(_LOADERS.split()) & set(found)
    assert nanoseconds.isdigit(), "sleep knows no fractions, or date no nanoseconds"


@need("the C and C++ libraries that a server is built for")
def _libraries(client: Client) -> None:
    question = (
        "getconf GNU_LIBC_VERSION; f=$(ldconfig -p | sed -n 's/.*libstdc++.so.6 .*64.*=> //p' | head -n 1);"
        " grep -ao 'GLIBCXX_3[.]4[.][0-9]*' \"$f\" | sort -V | tail -n 1"
    )
    said = client.run("sh", stdin=question.encode()).decode()
    libc, cxx = re.search(r"glibc (\d+)\.(\d+)", said), re.search(r"GLIBCXX_3\.4\.(\d+)", said)
    assert libc, said
    assert (int(libc[1]), int(libc[2])) >= (2, 28)
    assert cxx, said
    assert int(cxx[1]) >= 25


@need("a home to write to with room in it, and a /tmp to run from")
def _home(client: Client) -> None:
    question = (
        'd=$(mktemp -d "$HOME/.needs.XXXXXX") && t=$(mktemp) && printf "#!/bin/sh\\necho ran\\n" > $t && chmod 700 $t'
        ' && $t; rm -rf "$d" "$t"; df -Pk "$HOME" | tail -n 1'
    )
    ran, disk = client.run("sh", stdin=question.encode()).decode().splitlines()
    assert ran == "ran"
    assert int(disk.split()[3]) >= 1 << 20, disk


@need("a port of the pod's loopback through a tunnel")
def _port(client: Client) -> None:
    here = free_port()
    with client.answering() as port, client.connected("-L", f"127.0.0.1:{here}:127.0.0.1:{port}"):
        _converse(_dial(here))


@need("any port through SOCKS, two streams at once, beside a script on the same connection")
def _socks(client: Client) -> None:
    here = free_port()
    command = client.ssh("-T", "-D", str(here), "-o", "RemoteCommand=none", client.host, "sh")
    with client.answering() as port, _running(command) as script:
        assert script.stdin is not None
        assert script.stdout is not None
        script.stdin.write(b"echo up; while read line; do echo got $line; done\n")
        script.stdin.flush()
        assert script.stdout.readline() == b"up\n"
        first, second = _through_socks(here, int(port)), _through_socks(here, int(port))
        _converse(second)
        _converse(first)
        script.stdin.write(b"more\n")
        script.stdin.flush()
        assert script.stdout.readline() == b"got more\n"


@need("a socket in the pod's file system through a tunnel")
def _socket(client: Client) -> None:
    here, path = free_port(), f"/tmp/needs-{secrets.token_hex(4)}.sock"
    with client.answering(path), client.connected("-L", f"127.0.0.1:{here}:{path}"):
        _converse(_dial(here))
    client.run(f"rm -f {path}")


@need("a terminal")
def _terminal(client: Client) -> None:
    said = _done(client.ssh("-tt", client.host, "tty; stty size; echo $TERM"))
    assert re.search(rb"/dev/pts/\d+\r\n\d+ \d+\r\n\S+", said), said


@need("files both ways, over SFTP and over the old protocol of scp")
def _files(client: Client) -> None:
    import tempfile

    content, there = os.urandom(300_000), f"/tmp/needs-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        source.write_bytes(content)
        for protocol in ("-s", "-O"):
            client.copy(protocol, str(source), f"{client.host}:{there}{protocol}")
            client.copy(protocol, f"{client.host}:{there}{protocol}", f"{folder}/back{protocol}")
            assert Path(folder, f"back{protocol}").read_bytes() == content
    client.run(f"rm -f {there}-s {there}-O")


@need("ten connections at once")
def _many(client: Client) -> None:
    command = client.ssh("-T", client.host, "echo here")
    asked = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) for _ in range(10)]
    assert [each.communicate(timeout=_SECONDS)[0] for each in asked] == [b"here\n"] * 10


@need("the keys of the agent here")
def _agent(client: Client) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        key = f"{folder}/key"
        _done(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "mine", "-f", key])
        with _running(["ssh-agent", "-D", "-a", f"{folder}/agent"]) as agent:
            environ = {**os.environ, "SSH_AUTH_SOCK": f"{folder}/agent"}
            _until(lambda: Path(folder, "agent").exists() or agent.poll() is not None)
            _done(["ssh-add", "-q", key], environ=environ)
            command = client.ssh("-A", "-T", client.host, 'test -S "$SSH_AUTH_SOCK" && ssh-add -l')
            assert b" mine (ED25519)" in _done(command, environ=environ)


def _done(command: list[str], stdin: bytes = b"", environ: dict[str, str] | None = None) -> bytes:
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=_SECONDS, check=False, env=environ)
    assert done.returncode == 0, (command[-1], done.returncode, done.stdout[-300:], done.stderr[-300:])
    return done.stdout


@contextmanager
def _running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        # A server that never says anything must not hold the test.
        watchdog = threading.Timer(_SECONDS, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            process.terminate()


def _dial(port: int) -> socket.socket:
    def reached() -> socket.socket | None:
        try:
            return socket.create_connection(("127.0.0.1", port), 2)
        except OSError:
            return None

    found = _until(reached)
    assert isinstance(found, socket.socket)
    found.settimeout(_SECONDS)
    return found


def _through_socks(proxy: int, port: int) -> socket.socket:
    """RFC 1928: greeting without authentication, then CONNECT to a name."""
    stream = _dial(proxy)
    stream.sendall(b"\x05\x01\x00")
    assert stream.recv(2) == b"\x05\x00"
    name = b"localhost"
    stream.sendall(b"\x05\x01\x00\x03" + bytes([len(name)]) + name + struct.pack(">H", port))
    assert stream.recv(10)[1] == 0
    return stream


def _converse(stream: socket.socket) -> None:
    with stream:
        stream.sendall(b"me")
        said = b""
        while piece := stream.recv(64):
            said += piece
        assert said == b"heard me"


def _until(holds: Callable[[], object]) -> object:
    deadline = time.monotonic() + _SECONDS
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found
