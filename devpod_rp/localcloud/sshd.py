"""The SSH server of pods whose image has no OpenSSH: copied into the image, runs there on AsyncSSH alone.

usage: keys | start | stop

It offers what editors need of a remote host: exec with clean pipes, terminals, SFTP and scp, forwarding of TCP and
Unix sockets both ways, agent forwarding, any number of connections. Only root logs in, only with a key of
``~/.ssh/authorized_keys``. Where it listens is in `CONFIGURATION`. As with OpenSSH, the variables of the container do
not reach its sessions.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

import asyncssh

from devpod_rp.localcloud.sandbox.inside.sessions import Sessions

CONFIGURATION = Path("/opt/devpod_rp/pod/sshd.json")
PID_FILE = Path("/run/sshd.pid")
HOST_KEYS = {
    "ssh-ed25519": Path("/etc/ssh/ssh_host_ed25519_key"),
    "ecdsa-sha2-nistp256": Path("/etc/ssh/ssh_host_ecdsa_key"),
}


def main(action: str) -> int:
    if action == "keys":
        make_host_keys()
        return 0
    if action == "start":
        return start()
    if action == "stop":
        stop()
        return 0
    sys.stderr.write(f"usage: keys|start|stop, not {action}\n")
    return 2


def make_host_keys() -> None:
    """Make the host keys that are absent, like ``ssh-keygen -A``."""
    for kind, path in HOST_KEYS.items():
        if path.exists():
            continue
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        key = asyncssh.generate_private_key(kind, comment=f"root@{socket.gethostname()}")
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(key.export_private_key())
        path.with_suffix(".pub").write_bytes(key.export_public_key())


def start() -> int:
    """Go to the background and return once the port answers: 0, or 1 if it never will."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        _serve_in_background(writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as report:
        return 0 if report.read() == b"listening" else 1


def stop() -> None:
    """End the server; its sessions go on, as they do with OpenSSH."""
    try:
        pid = int(PID_FILE.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ValueError):
        return
    if os.fsencode(sys.argv[0]) in command:
        os.kill(pid, signal.SIGTERM)


def _serve_in_background(ready: int) -> NoReturn:
    os.setsid()
    nothing = os.open("/dev/null", os.O_RDWR)
    # Warnings go on to the container's log through standard error.
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    code = 1
    try:
        asyncio.run(serve(ready))
        code = 0
    finally:
        os._exit(code)


async def serve(ready: int) -> None:
    """Listen until SIGTERM; *ready* is told when the port answers."""
    configuration = json.loads(CONFIGURATION.read_text())
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    sessions = Sessions()
    await asyncssh.listen(
        configuration["host"],
        configuration["port"],
        server_factory=Gate,
        server_host_keys=[str(path) for path in HOST_KEYS.values() if path.exists()],
        process_factory=sessions.run,
        encoding=None,
        sftp_factory=Files,
        allow_scp=True,
        agent_forwarding=True,
        password_auth=False,
        kbdint_auth=False,
        gss_host=None,
        reuse_address=True,
        backlog=256,
        keepalive_interval=30,
        keepalive_count_max=6,
    )
    PID_FILE.write_text(f"{os.getpid()}\n")
    os.write(ready, b"listening")
    os.close(ready)
    await ended.wait()


class Files(asyncssh.SFTPServer):
    """SFTP that ends with an exit status, without which OpenSSH's scp reports a failure after every success."""

    def exit(self) -> None:
        self.channel.exit(0)


class Gate(asyncssh.SSHServer):
    """Lets root in with an authorized key, and forwards whatever a client asks to be forwarded."""

    _connection: asyncssh.SSHServerConnection

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        # Read at every login: keys may be added while the pod runs.
        keys = Path(pwd.getpwuid(0).pw_dir) / ".ssh" / "authorized_keys"
        known: str | list[str] = [str(keys)] if username == "root" and keys.exists() else []
        try:
            self._connection.set_authorized_keys(known or asyncssh.import_authorized_keys(""))
        except (OSError, ValueError) as error:
            sys.stderr.write(f"sshd: {keys}: {error}\n")
            self._connection.set_authorized_keys(asyncssh.import_authorized_keys(""))
        return True

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True

    def unix_connection_requested(self, dest_path: str) -> bool:
        return True

    def server_requested(self, listen_host: str, listen_port: int) -> bool:
        return True

    def unix_server_requested(self, listen_path: str) -> bool:
        with contextlib.suppress(OSError):
            if Path(listen_path).is_socket():
                Path(listen_path).unlink()  # as OpenSSH does with StreamLocalBindUnlink
        return True
