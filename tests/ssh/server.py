"""An SSH server of another make (AsyncSSH) in a process of its own; its commands are real processes as well.

Run as a script it reads one JSON line {authorized, host_keys, port}, prints its port, then the name of every login,
and ends when its stdin does.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Protocol

import asyncssh

from devpod_rp.ssh.address import Address
from devpod_rp.ssh.known_hosts import HostKey


def new_host_key(kind: str = "ssh-ed25519") -> asyncssh.SSHKey:
    return asyncssh.generate_private_key(kind)


def as_host_key(key: asyncssh.SSHKey) -> HostKey:
    kind, base64 = key.export_public_key().decode().split()[:2]
    return HostKey(kind, base64)


class Server(Protocol):
    """What the tests need of an SSH server of whatever make."""

    @property
    def host_key(self) -> HostKey: ...

    @property
    def address(self) -> Address: ...


class SshServer:
    """Accepts the key *authorized* for any user and runs what it is told in ``sh``."""

    def __init__(self, authorized: str, host_keys: list[asyncssh.SSHKey] | None = None, port: int = 0) -> None:
        self.host_keys = host_keys or [new_host_key()]
        self.logins: list[str] = []
        self._authorized = authorized
        self._port = port

    @property
    def host_key(self) -> HostKey:
        return as_host_key(self.host_keys[0])

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self._port)

    def __enter__(self) -> SshServer:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)},
        )
        keys = [key.export_private_key().decode() for key in self.host_keys]
        order = {"authorized": self._authorized, "host_keys": keys, "port": self._port}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        self._port = int(self._process.stdout.readline())
        self._reader = threading.Thread(target=self._note_logins, name="ssh-test-server-log", daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._reader.join(10)
        self._process.stdout.close()

    def _note_logins(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.logins.append(line.strip())


def report(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def serve_until_stdin_ends() -> None:
    order = json.loads(sys.stdin.readline())
    running: set[asyncio.subprocess.Process] = set()

    class Sessions(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            report(username)
            return True

        def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
            return True  # forwards like OpenSSH

    async def execute(session: asyncssh.SSHServerProcess[bytes]) -> None:
        pipe = asyncio.subprocess.PIPE
        command = os.fsencode(session.command or "")
        child = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
        running.add(child)
        feeding = asyncio.create_task(feed(session.stdin, child.stdin))
        await asyncio.gather(pump(child.stdout, session.stdout), pump(child.stderr, session.stderr))
        code = await child.wait()
        feeding.cancel()
        running.discard(child)
        session.exit(code) if code >= 0 else session.exit_with_signal("KILL")

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(256 * 1024):
                sink.write(data)
                await sink.drain()
        except (OSError, asyncssh.Error):
            return  # the other side has ended

    async def feed(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        await pump(source, sink)
        sink.close()

    acceptor = await asyncssh.listen(
        "127.0.0.1",
        order["port"],
        server_factory=Sessions,
        server_host_keys=[asyncssh.import_private_key(key) for key in order["host_keys"]],
        authorized_client_keys=asyncssh.import_authorized_keys(order["authorized"]),
        process_factory=execute,
        encoding=None,
        errors="surrogateescape",
    )
    report(str(acceptor.get_port()))
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for child in running:
        os.killpg(child.pid, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(serve_until_stdin_ends())
