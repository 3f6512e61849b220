"""OpenSSH's own server on a port of its own, for the user who runs the tests."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path
from types import TracebackType

from devpod_rp.ssh.address import Address
from devpod_rp.ssh.known_hosts import HostKey

from .server import as_host_key, new_host_key


def find_sshd() -> str | None:
    return shutil.which("sshd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


class OpenSshServer:
    """With *home* nothing of the user's own is read by the shells that it starts."""

    def __init__(
        self, sshd: str, directory: Path, authorized: str, *, port: int | None = None, home: Path | None = None
    ) -> None:
        directory.mkdir(mode=0o700)
        key = new_host_key()
        self.host_key: HostKey = as_host_key(key)
        if port is None:
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port = probe.getsockname()[1]
        self.address = Address("127.0.0.1", port, getpass.getuser())
        key.write_private_key(str(directory / "host_key"))
        (directory / "host_key").chmod(0o600)
        (directory / "authorized_keys").write_text(authorized + "\n")
        (directory / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{port}\n"
            f"HostKey {directory}/host_key\n"
            f"AuthorizedKeysFile {directory}/authorized_keys\n"
            f"PidFile {directory}/pid\n"
            "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            "PermitRootLogin prohibit-password\nMaxSessions 64\n" + (f"SetEnv HOME={home}\n" if home else "")
        )
        self._command = [sshd, "-D", "-e", "-f", str(directory / "sshd_config")]

    def __enter__(self) -> OpenSshServer:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # its privilege separation insists on it
        self._process = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        said = []
        for line in self._process.stderr:
            said.append(line)
            if line.startswith("Server listening"):
                break
        else:
            raise AssertionError("sshd did not start: " + "".join(said))
        self._reader = threading.Thread(target=self._process.stderr.read, name="sshd-log", daemon=True)
        self._reader.start()
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._reader.join(10)
        assert self._process.stderr is not None
        self._process.stderr.close()
