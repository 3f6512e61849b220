"""What desktop editors bring to a pod, kept for the next container: linked to the volume, or as archives on it.

A server is some thousand small files that never change once they are there. Where the volume is slow with such files or
has no working locks, as network volumes may be, running from it is a pain (microsoft/vscode-remote-release#885, #7192).
There a server stays on the container disk and the volume has one archive of it, unpacked at the next start.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from functools import partial
from glob import escape as glob_escape
from glob import glob
from typing import Any, Dict, Iterable, Iterator, Optional, Tuple

from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.agent.servers.archives import FOLDERS, archive, archives, fingerprint, servers, unpack
from devpod_rp.agent.servers.slowness import slowness
from devpod_rp.agent.wire import Handler, Request

LINKED, ARCHIVED = "linked", "archived"
CHOICE = "/run/devpod_rp/editor-servers"
# What a server that runs leaves beside itself. In a new container it is a lie: "running", on a socket that is gone
# (microsoft/vscode#237797).
_STALE = (
    ".*.pid", ".*.log", ".*.token", "cli/servers/*/pid.txt", "cli/servers/*/log.txt", "cli/servers/*.staging",
    "bin/*/vscode-remote-lock*", "vscode-remote-lock*",
)  # fmt: skip


def operations(home: Optional[str] = None, choice: str = CHOICE) -> Dict[str, Handler]:
    """The operations for the user whose home is *home* (whose agent this is if None)."""
    return {
        "servers.choose": partial(_choose, choice),
        "servers.settle": partial(_settle, home or os.path.expanduser("~"), choice),
    }


def _choose(choice: str, request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """Op ``servers.choose {volume, wanted, fresh}``: how editor servers are kept in this container, as *how* and *why*.

    *wanted* is "linked", "archived" or "auto", which measures the volume. Said once: it holds as long as the container,
    and one that was in use before anybody asked has them linked.
    """
    header = request.header
    how, why = LINKED, ""
    try:
        with open(choice, encoding="utf-8") as stream:
            how, why = json.load(stream)
    except FileNotFoundError:
        if header.get("fresh") is True:
            why = slowness(str(header["volume"])) if header["wanted"] == "auto" else ""
            how = ARCHIVED if why or header["wanted"] == ARCHIVED else LINKED
        write_atomically(choice, json.dumps([how, why]).encode("ascii"))
    yield {"how": how, "why": why}, b""


def _settle(home: str, choice: str, request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """Op ``servers.settle {store}``, in a fresh container: have the servers of the one before, and nothing stale.

    *unpacked* counts the servers that came out of archives; *left* maps archives that could not be used to the reason.
    """
    store = str(request.header["store"])
    with open(choice, encoding="utf-8") as stream:
        how, _why = json.load(stream)
    for folder in FOLDERS:
        _sweep(os.path.join(home, folder), _STALE)
    _sweep(os.path.join(store, "servers"), (".*.part",))
    if how == ARCHIVED:
        _adopt(store)
    unpacked, left = 0, {}
    for kept in archives(store):
        place = os.path.join(home, kept.server)
        try:
            if not os.path.lexists(place):
                unpack(kept.archive, place)
                unpacked += 1
            if how == LINKED:
                os.unlink(kept.archive)
        except (OSError, tarfile.TarError, EOFError) as error:
            left[kept.server] = str(error)
            if not isinstance(error, OSError):
                os.unlink(kept.archive)  # broken: the editor brings another server
    yield {"unpacked": unpacked, "left": left}, b""


def _adopt(store: str) -> None:
    """Make archives of servers that an earlier container left linked on the volume, in place of what they were."""
    linked = os.path.join(store, "home")
    for folder in FOLDERS:
        for server in servers(linked, folder):
            place = os.path.join(linked, server)
            if any(kept.server == server for kept in archives(store)) or archive(
                linked, server, fingerprint(place), store
            ):
                shutil.rmtree(place) if os.path.isdir(place) else os.unlink(place)


def _sweep(folder: str, patterns: Iterable[str]) -> None:
    for pattern in patterns:
        for path in glob(os.path.join(glob_escape(folder), pattern)):
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)


OPERATIONS: Dict[str, Handler] = operations()
