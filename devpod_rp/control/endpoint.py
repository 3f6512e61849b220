"""Where a keeper listens, and the note through which others find it."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
import stat
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from devpod_rp import paths
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.errors import ConfigurationError

# sun_path holds 108 bytes on Linux and 104 on macOS, its final NUL included.
_LONGEST_SOCKET_PATH = 100


@dataclass(frozen=True)
class Endpoint:
    """One keeper: its process, told apart from a later one of the same *pid* by *create_time* (seconds since the
    epoch, as psutil tells it), and its address: *path* of a Unix socket, or else loopback *port* and *token*."""

    pid: int
    create_time: float
    path: str | None = None
    port: int | None = None
    token: str = field(default="", repr=False)


def endpoint_file(name: str) -> Path:
    return paths.environment_dir(name) / "keeper.json"


def read_endpoint(name: str) -> Endpoint | None:
    """What the last keeper of *name* wrote of itself; it may be dead by now."""
    path = endpoint_file(name)
    try:
        return Endpoint(**json.loads(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error}", hint="delete it; a keeper writes it anew."
        ) from error


def write_endpoint(name: str, endpoint: Endpoint) -> None:
    write_atomically(endpoint_file(name), json.dumps(vars(endpoint)).encode("utf-8"))


def forget_endpoint(name: str, endpoint: Endpoint) -> None:
    """Remove the note, unless a later keeper has already replaced it."""
    if read_endpoint(name) == endpoint:
        endpoint_file(name).unlink(missing_ok=True)


def listen(name: str) -> tuple[socket.socket, Endpoint]:
    """A listening socket for the keeper of *name*, which must hold the keeper's lock: an old socket is replaced."""
    import psutil

    pid, create_time = os.getpid(), psutil.Process().create_time()
    if sys.platform == "win32":
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        endpoint = Endpoint(pid, create_time, port=port, token=secrets.token_urlsafe(32))
    else:
        listener, path = _unix_listener(name)
        endpoint = Endpoint(pid, create_time, path=str(path))
    listener.listen(16)
    return listener, endpoint


def connect(endpoint: Endpoint, timeout_seconds: float) -> socket.socket:
    """A connection to *endpoint*; OSError if nobody listens there."""
    if endpoint.port is not None:
        return socket.create_connection(("127.0.0.1", endpoint.port), timeout=timeout_seconds)
    if sys.platform == "win32" or endpoint.path is None:
        raise ConnectionRefusedError("the endpoint names no address of this system")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_seconds)
        connection.connect(endpoint.path)
    except BaseException:
        connection.close()
        raise
    return connection


if sys.platform != "win32":

    def _unix_listener(name: str) -> tuple[socket.socket, Path]:
        path = paths.environment_dir(name) / "keeper.sock"
        if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
            try:
                return _bound(path), path
            except OSError as error:
                # Some file systems hold no sockets (network shares, mounted Windows disks).
                unsupported = error
        else:
            unsupported = None
        path = _runtime_dir() / f"{hashlib.blake2b(os.fsencode(path), digest_size=10).hexdigest()}.sock"
        try:
            return _bound(path), path
        except OSError as error:
            raise error from unsupported

    def _bound(path: Path) -> socket.socket:
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(path))
            # Nobody can connect before listen(), so the socket is never open to others.
            path.chmod(0o600)
        except BaseException:
            listener.close()
            raise
        return listener

    def _runtime_dir() -> Path:
        """A short directory of ours alone; one that somebody else prepared under that name is refused."""
        base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
        directory = Path(base) / f"devpod_rp-{os.getuid()}"
        if len(os.fsencode(directory)) > _LONGEST_SOCKET_PATH - 26:
            directory = Path("/tmp") / directory.name  # noqa: S108 - checked below
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise ConfigurationError(
                f"{directory} is not a directory that only you can open.", hint="remove it; it is made anew."
            )
        return directory
