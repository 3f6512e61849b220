"""The agent's operations on the watchdog: give it orders, start it, ask it, and tell it that the laptop is there."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple

from devpod_rp.agent.disk.operations import order_of
from devpod_rp.agent.exposure.baseline import DIRECTORY
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.agent.machine import container
from devpod_rp.agent.watchdog import program
from devpod_rp.agent.watchdog.selfstop import Refused, own_key
from devpod_rp.agent.wire import Refusal, Request

_LOG = DIRECTORY + "/watchdog.log"
_END_SECONDS = 5.0
_RUN = "import sys,zlib;exec(zlib.decompress(sys.stdin.buffer.read()))"


def order(request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """Op ``watchdog.order``: *orders* hold from now on; the body is the watchdog's program, compressed.

    A running watchdog of the same program takes the new orders, any other is replaced. Without limits none runs. The
    answer's *key* says "accepted" if the cloud takes the pod's own key, else why not.
    """
    orders = request.header.get("orders")
    try:
        parsed = program.Orders.from_wire(orders if isinstance(orders, dict) else {})
        if parsed.keep is not None:
            order_of(parsed.keep)
    except (KeyError, TypeError, ValueError, re.error) as error:
        raise Refusal("bad-request", "these are no orders: {0!r}".format(error)) from error
    touch_laptop()
    running = _running()
    version = hashlib.sha256(request.body).hexdigest()[:16]
    if not parsed.limits.any:
        if running is not None:
            _end(running)
        yield {"running": False, "key": None}, b""
        return
    write_atomically(program.ORDERS, json.dumps(orders).encode("ascii"))
    if running is not None and version not in running.command:
        _end(running)
        running = None
    pid = running.pid if running is not None else _start(request.body, version)
    yield {"running": True, "pid": pid, "key": _key(parsed.api_url)}, b""


def state(_request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """Op ``watchdog.state``: what it saw and decided last, null if it never did, and whether it lives.

    Asking is the laptop's sign of life.
    """
    touch_laptop()
    yield {"running": _running() is not None, "state": program.read_state()}, b""


def tell(request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """Op ``watchdog.say``: *text* for the container's log and every terminal in it."""
    program.say(str(request.header.get("text", "")))
    yield {}, b""


def touch_laptop() -> None:
    write_atomically(program.LAPTOP, b"")


def _key(api_url: str) -> str:
    try:
        own_key(api_url).check()
    except Refused as error:
        return str(error)
    return "accepted"


def _running() -> Optional[container.Process]:
    return next((each for each in container.processes() if program.MARK in each.command), None)


def _start(source: bytes, version: str) -> int:
    Path(DIRECTORY).mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(_LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "wb") as log:
        # A session of its own: it outlives the connection, and no terminal's hangup reaches it.
        child = subprocess.Popen(
            [sys.executable, "-X", "utf8", "-I", "-S", "-u", "-c", _RUN, program.MARK, version],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    assert child.stdin is not None
    child.stdin.write(source)
    child.stdin.close()
    return child.pid


def _end(process: container.Process) -> None:
    try:
        os.kill(process.pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    deadline = time.monotonic() + _END_SECONDS
    while _running() is not None:
        if time.monotonic() > deadline:
            raise Refusal("busy", "the old watchdog does not end (process {0})".format(process.pid))
        time.sleep(0.02)


OPERATIONS = {"watchdog.order": order, "watchdog.state": state, "watchdog.say": tell}
