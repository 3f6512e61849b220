"""The agent: reads requests from one stream, answers on another, and ends when nobody can ask any more.

Requests are carried out one at a time, in order; only ``ping`` is answered at once, by the thread that reads, and
standing operations have a thread each. The agent ends when its input ends, and when the process that started it is
gone: a pod never collects stray agents.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import queue
import sys
import threading
import zlib
from typing import Any, BinaryIO, Callable, Dict, Iterator, Mapping, Optional, Tuple

from devpod_rp.agent import operations
from devpod_rp.agent.files import packing
from devpod_rp.agent.machine import container
from devpod_rp.agent.sync.leases import LEASES
from devpod_rp.agent.wire import (
    PROTOCOL,
    Frame,
    Handler,
    Header,
    Refusal,
    Request,
    WireError,
    read_frame,
    write_frame,
)

Learn = Callable[[Dict[str, str]], None]
"""Makes modules (name -> source) importable."""

PING, HELLO = "ping", "system.hello"
# How long the step in hand may take to end once nobody waits for it; after that it ends with the process.
_GRACE_SECONDS = 5.0
_PARENT_CHECK_SECONDS = 5.0

_CODES = {
    errno.ENOENT: "not-found",
    errno.ENOTDIR: "not-found",
    errno.EACCES: "not-permitted",
    errno.EPERM: "not-permitted",
    errno.EROFS: "not-permitted",
    errno.ENOSPC: "no-space",
    errno.EDQUOT: "no-space",
    errno.EBUSY: "busy",
    errno.ETXTBSY: "busy",
}


def hello(_request: Request) -> Iterator[Tuple[Header, bytes]]:
    """Op ``system.hello``: who answers. *boot_id* and *container_started_at* (Unix seconds) are null where unknown.
    *zstd*: whether it reads it."""
    yield (
        {
            "protocol": PROTOCOL,
            "python": "{0}.{1}.{2}".format(*sys.version_info),
            "executable": sys.executable,
            "hostname": os.uname().nodename,
            "pid": os.getpid(),
            "boot_id": _boot_id(),
            "container_started_at": _container_started_at(),
            "zstd": packing.ZSTD is not None,
        },
        b"",
    )


def serve(
    source: BinaryIO,
    sink: BinaryIO,
    carried_out: Mapping[str, Handler] = operations.ONE_BY_ONE,
    *,
    learn: Learn = lambda _sources: None,
    give_up: Callable[[], None] = lambda: os._exit(1),
) -> None:
    """Answer the requests in *source* on *sink* until *source* ends; *give_up* is called when a step then hangs.

    *learn* is given the sources that come later.
    """
    service = _Service(source, sink, carried_out, learn, give_up)
    threading.Thread(target=service.read, name="agent-reader", daemon=True).start()
    threading.Thread(target=service.watch_parent, name="agent-parent", daemon=True).start()
    service.work()


def main(source: BinaryIO, greeting: bytes, learn: Learn) -> None:
    """Run as the agent's process: *source* replaces standard input, *greeting* goes out before the first frame."""
    # Standard output is the protocol. Whatever else is printed here, or by a child, must not end up between frames.
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.chdir("/")
    # What a request builds is large, short-lived and without cycles: look through it less often.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    sink.write(greeting)
    sink.flush()
    serve(source, sink, learn=learn)
    LEASES.release_all()


class _Disconnected(Exception):
    """Nobody reads our answers any more."""


class _Service:
    def __init__(
        self,
        source: BinaryIO,
        sink: BinaryIO,
        carried_out: Mapping[str, Handler],
        learn: Learn,
        give_up: Callable[[], None],
    ) -> None:
        self._source = source
        self._sink = sink
        self._carried_out = carried_out
        self._learn = learn
        self._give_up = give_up
        self._ahead = list(operations.ASKED_FOR_FIRST)
        self._requests: "queue.Queue[Optional[Request]]" = queue.Queue()
        self._writing = threading.Lock()
        self._closing = threading.Event()
        self._done = threading.Event()

    # The reader's thread.

    def read(self) -> None:
        try:
            while True:
                frame = read_frame(self._source)
                if frame is None:
                    break
                LEASES.heard()
                if frame.header.get("op") == PING:
                    self._send(frame.header.get("id"), {}, b"", more=False)
                elif frame.header.get("op") == operations.SOURCES:
                    self._learn(json.loads(zlib.decompress(frame.body)))
                elif _stands(frame.header.get("op")):
                    request = Request(frame.header, frame.body)
                    threading.Thread(target=self._stand, args=(request,), name="agent-standing", daemon=True).start()
                else:
                    self._requests.put(Request(frame.header, frame.body))
        except (WireError, OSError, _Disconnected) as error:
            _complain("the launcher's side broke: {0}".format(error))
        finally:
            self._close()

    def watch_parent(self) -> None:
        # A stream may stay open although its owner is gone, when another child of it holds the other end.
        parent = os.getppid()
        while not self._done.wait(_PARENT_CHECK_SECONDS):
            if os.getppid() != parent:
                self._close()
                return

    def _close(self) -> None:
        self._closing.set()
        self._requests.put(None)
        if not self._done.wait(_GRACE_SECONDS):
            self._give_up()

    # The worker's thread.

    def work(self) -> None:
        try:
            while True:
                request = self._requests.get()
                if request is None or self._closing.is_set():
                    return
                self._answer(request)
                self._load_ahead()
        except _Disconnected as error:
            _complain(str(error))
        finally:
            self._done.set()

    def _load_ahead(self) -> None:
        # Between the first answer and the next request the launcher gets ready, and this end has nothing else to do.
        while self._ahead and self._requests.empty():
            operations.load(self._ahead.pop(0))

    def _stand(self, request: Request) -> None:
        try:
            self._answer(request, self._carry_on)
        except _Disconnected as error:
            _complain(str(error))

    def _answer(self, request: Request, carry_out: "Optional[Callable[[Any, Request], None]]" = None) -> None:
        number = request.header.get("id")
        try:
            (carry_out or self._carry_out)(number, request)
        except Refusal as refusal:
            self._refuse(number, refusal.code, refusal.message)
        except OSError as error:
            self._refuse(number, _CODES.get(error.errno or 0, "unexpected"), _describe(error))
        except _Disconnected:
            raise
        except Exception as error:  # noqa: BLE001 - one request's defect must not take the others down
            import traceback  # loading it takes as long as all of the start that is ours

            _complain(traceback.format_exc())
            self._refuse(number, "unexpected", _describe(error))

    def _carry_out(self, number: Any, request: Request) -> None:
        name = request.header.get("op")
        if isinstance(name, str) and name in self._carried_out:
            operation = self._carried_out[name]
        elif name == HELLO:
            operation = hello
        else:
            raise Refusal("bad-request", "this agent knows no operation {0!r}".format(name))
        # Held back by one, because only the end of the iteration tells which reply is the last.
        held: Optional[Tuple[Header, bytes]] = None
        try:
            for reply in operation(request):
                if self._closing.is_set():
                    raise _Disconnected("nobody waits for the answer to {0} any more".format(name))
                if held is not None:
                    self._send(number, held[0], held[1], more=True)
                held = reply
        except _Disconnected:
            raise
        except Exception:
            if held is not None:
                self._send(number, held[0], held[1], more=True)
            raise
        header, body = held if held is not None else ({}, b"")
        self._send(number, header, body, more=False)

    def _carry_on(self, number: Any, request: Request) -> None:
        for header, body in operations.STANDING[request.header["op"]](request, self._closing):
            self._send(number, header, body, more=True)
        self._send(number, {}, b"", more=False)

    def _refuse(self, number: Any, code: str, message: str) -> None:
        self._write(Frame({"id": number, "ok": False, "code": code, "message": message}, b""))

    def _send(self, number: Any, header: Header, body: bytes, *, more: bool) -> None:
        self._write(Frame(dict(header, id=number, ok=True, more=more), body))

    def _write(self, frame: Frame) -> None:
        try:
            with self._writing:
                write_frame(self._sink, frame)
        except OSError as error:
            raise _Disconnected("nobody reads the answers: {0}".format(error)) from error


def _stands(op: Any) -> bool:
    return isinstance(op, str) and op in operations.STANDING


def _describe(error: BaseException) -> str:
    """One line that names the kind of an error and what it says."""
    if isinstance(error, OSError) and error.strerror:
        where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
        return "{0}: {1}".format(error.strerror, where) if where else error.strerror
    return " ".join("{0}: {1}".format(type(error).__name__, error).split())


def _complain(text: str) -> None:
    # Standard error is the agent's log; the launcher keeps its end and shows it when the link breaks.
    sys.stderr.write("agent: {0}\n".format(text.rstrip()))
    sys.stderr.flush()


def _boot_id() -> Optional[str]:
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as stream:
            return stream.read().decode("ascii").strip()
    except OSError:
        return None


def _container_started_at() -> Optional[float]:
    try:
        return container.started_at_ns() / 1e9
    except OSError:
        return None
