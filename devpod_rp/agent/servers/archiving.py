"""Keeps archives of editor servers up to date while a container lives; see ``archives.py``.

A program of its own, because an editor brings its server whenever it likes, with us connected or not.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from typing import Any, Dict

from devpod_rp.agent.servers.archives import keep

_LOCK = "/run/devpod_rp/editor-servers.lock"
_LOG = "/run/devpod_rp/editor-servers.log"
_LOOK_SECONDS = 10.0
_NICE = 19


def main(stream: Any) -> None:
    """Read one line of JSON ``{store}``, and see to it in the background, once in a container."""
    request = json.loads(stream.readline().decode("utf-8"))
    os.makedirs(os.path.dirname(_LOCK), mode=0o700, exist_ok=True)
    lock = os.open(_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # one is at it
    if os.fork():
        return
    os.setsid()
    os.chdir("/")
    log = os.open(_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)
    os.nice(_NICE)
    _watch(os.path.expanduser("~"), str(request["store"]))


def _watch(home: str, store: str) -> None:
    seen: Dict[str, str] = {}
    while True:
        try:
            for server in keep(home, store, seen):
                _note("kept {0}".format(server))
        except OSError as error:
            # A full volume, or a server that its editor removes while we read it: the next look is another chance.
            _note("not kept: {0}".format(error))
        time.sleep(_LOOK_SECONDS)


def _note(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
