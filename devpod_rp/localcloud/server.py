"""The life of the server process: one instance, one port, an endpoint file, and an end when nobody needs it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType

import filelock
import psutil
import uvicorn

from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.errors import UnreachableError
from devpod_rp.localcloud import storage
from devpod_rp.localcloud.api.app import build
from devpod_rp.localcloud.cloud import Cloud
from devpod_rp.localcloud.host import Host
from devpod_rp.localcloud.settings import Settings

log = logging.getLogger(__name__)

_ADDRESS = "127.0.0.1"
_TAKEOVER_SECONDS = 60.0
_DRAIN_SECONDS = 3
_LOG_BYTES = 1_000_000


def run(settings: Settings, host: Host) -> None:
    """Be the local cloud until told to stop or idle for too long. Returns at once if one is already listening.

    Raises:
        UnreachableError: another server holds the lock, but neither listens nor ends.
    """
    storage.make(settings.root)
    _log_to(settings.log)
    with _single_instance(settings) as mine:
        if not mine:
            log.info("another local cloud is listening")
            return
        serve(settings, host)


def serve(settings: Settings, host: Host) -> None:
    """Answer requests in this thread until told to stop or idle for too long; the caller holds the lock."""
    cloud = Cloud(settings, host)
    listener = _listen(cloud)
    idle = _Idleness(settings.idle_seconds)
    server: _Server | None = None

    def stop() -> None:
        assert server is not None
        server.leave()

    app = build(cloud, _token(settings.token), stop=stop, on_request=idle.touch)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=_DRAIN_SECONDS
    )
    server = _Server(config, cloud)
    watch = threading.Thread(target=idle.watch, args=(cloud, stop), name="idle")
    try:
        cloud.open()
        watch.start()
        port = listener.getsockname()[1]
        _announce(settings, port)
        log.info("listening port=%d pid=%d", port, os.getpid())
        server.run(sockets=[listener])
    finally:
        # First the endpoint, so that nobody is sent to a server that has stopped answering.
        settings.endpoint.unlink(missing_ok=True)
        listener.close()
        cloud.close()
        if watch.is_alive():
            watch.join()
        log.info("ended pid=%d", os.getpid())


class _Server(uvicorn.Server):
    """uvicorn, but open log streams hear of the end before it waits for them."""

    def __init__(self, config: uvicorn.Config, cloud: Cloud) -> None:
        super().__init__(config)
        self._cloud = cloud

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        log.info("signal=%d", sig)
        self._cloud.closing.set()
        super().handle_exit(sig, frame)

    def leave(self) -> None:
        self._cloud.closing.set()
        self.should_exit = True


class _Idleness:
    """Ends the server when no request came and no pod was live for a while."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def touch(self) -> None:
        self._last = time.monotonic()

    def watch(self, cloud: Cloud, stop: Callable[[], None]) -> None:
        while not cloud.closing.wait(min(self._seconds, 5.0) / 4):
            if not cloud.idle():
                self.touch()
            elif time.monotonic() - self._last > self._seconds:
                log.info("idle for %.0f s", self._seconds)
                stop()
                return


@contextlib.contextmanager
def _single_instance(settings: Settings) -> Iterator[bool]:
    """Whether this process may be the server. A server that is just ending is waited for and succeeded."""
    lock = filelock.FileLock(settings.lock, mode=0o600)
    deadline = time.monotonic() + _TAKEOVER_SECONDS
    while True:
        try:
            lock.acquire(timeout=0.2)
            break
        except filelock.Timeout:
            if _listening(settings.endpoint):
                yield False
                return
            if time.monotonic() > deadline:
                raise UnreachableError(
                    f"Another local cloud holds {settings.lock} but does not answer.", hint=f"see {settings.log}."
                ) from None
    try:
        yield True
    finally:
        lock.release()


def _listening(endpoint: Path) -> bool:
    """Whether the endpoint file names a living process."""
    try:
        return psutil.pid_exists(int(json.loads(endpoint.read_text(encoding="utf-8"))["pid"]))
    except (FileNotFoundError, ValueError, KeyError):
        return False


def _listen(cloud: Cloud) -> socket.socket:
    """A listening socket on the same port as last time if it is free, else on any."""
    with cloud.ledger.transaction() as books:
        last = int(books.get("port", 0))
    listener = _bound(last) or _bound(0)
    assert listener is not None
    listener.listen(128)
    with cloud.ledger.transaction() as books:
        books.put("port", listener.getsockname()[1])
    return listener


def _bound(port: int) -> socket.socket | None:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name != "nt":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_ADDRESS, port))
    except OSError:
        listener.close()
        if port == 0:
            raise
        return None
    return listener


def _token(path: Path) -> str:
    """The API key of this installation, made at the first start."""
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        token = "local_" + secrets.token_urlsafe(32)
        write_atomically(path, token.encode("ascii"))
        return token


def _announce(settings: Settings, port: int) -> None:
    document = {"url": f"http://{_ADDRESS}:{port}", "token": _token(settings.token), "pid": os.getpid()}
    write_atomically(settings.endpoint, json.dumps(document).encode("utf-8"))


def _log_to(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    path.chmod(0o600)
    handler = RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=3, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(threadName)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
