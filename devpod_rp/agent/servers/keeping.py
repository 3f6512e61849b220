"""What desktop editors bring to a pod, kept for the next container: linked to the volume, or as archives on it.

A server is some thousand small files that never change once they are there. Where the volume is slow with such files or
has no working locks, as network volumes may be, running from it is a pain (microsoft/vscode-remote-release#885, #7192).
There a server stays on the container disk and the volume has one archive of it, unpacked at the next start.

Nothing here is anybody's work: what cannot be read or kept is downloaded again by the editor.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tarfile
import threading
import time
from functools import partial
from glob import escape as glob_escape
from glob import glob
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple
from urllib.parse import quote, unquote

from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.agent.servers.extending import SERVERS, server_commands
from devpod_rp.agent.wire import Handler, Request

LINKED, ARCHIVED = "linked", "archived"
FOLDERS = tuple(folder for folder, _command in SERVERS.values())

CHOICE = "/run/devpod_rp/editor-servers"
_MOST = 2  # versions of one editor: the present one, and the one before
_FILES, _BYTES = 64, 4096
_SLOW_SECONDS = 0.003  # for one file: a server would take five seconds and more
HANGING_SECONDS = 5.0
_CHUNK = 1 << 20
# What a server that runs leaves beside itself. In a new container it is a lie: "running", on a socket that is gone
# (microsoft/vscode#237797).
_STALE = (
    ".*.pid", ".*.log", ".*.token", "cli/servers/*/pid.txt", "cli/servers/*/log.txt", "cli/servers/*.staging",
    "bin/*/vscode-remote-lock*", "vscode-remote-lock*",
)  # fmt: skip


class Kept(NamedTuple):
    """An archive: of what (a path relative to the home), with which digest, and where it lies."""

    server: str
    digest: str
    archive: str


def operations(home: Optional[str] = None, choice: str = CHOICE) -> Dict[str, Handler]:
    """The operations for the user whose home is *home* (whose agent this is if None)."""
    return {
        "servers.choose": partial(_choose, choice),
        "servers.settle": partial(_settle, home or os.path.expanduser("~"), choice),
    }


def _choose(choice: str, request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """Op ``servers.choose {volume, wanted, fresh}``: how editor servers are kept in this container, as *how* and *why*.

    *wanted* is "linked", "archived" or "auto", which measures the volume. Said once: it holds as long as the container,
    and one that was *fresh* before anybody asked has them linked.
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
                _unpack(kept.archive, place)
                unpacked += 1
            if how == LINKED:
                os.unlink(kept.archive)
        except (OSError, tarfile.TarError, EOFError) as error:
            left[kept.server] = str(error)
            if not isinstance(error, OSError):
                os.unlink(kept.archive)  # broken: the editor brings another server
    yield {"unpacked": unpacked, "left": left}, b""


OPERATIONS: Dict[str, Handler] = operations()


# The volume.


def slowness(
    volume: str, lock: Callable[[int, int], None] = fcntl.flock, clock: Callable[[], float] = time.monotonic
) -> str:
    """Why servers should not run from *volume*; empty if they may."""
    found: List[str] = []

    def measure() -> None:
        found.append(_measured(os.path.join(volume, ".devpod", "measuring"), lock, clock))

    # Locks of a network file system have been seen to wait for ever; the thread ends with the agent.
    thread = threading.Thread(target=measure, name="measure", daemon=True)
    thread.start()
    thread.join(HANGING_SECONDS)
    return found[0] if found else "it does not answer within {0:.0f} s".format(HANGING_SECONDS)


def _measured(folder: str, lock: Callable[[int, int], None], clock: Callable[[], float]) -> str:
    os.makedirs(folder, mode=0o700, exist_ok=True)
    try:
        with open(os.path.join(folder, "lock"), "wb") as stream:
            try:
                lock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                return "it has no working locks ({0})".format(error.strerror)
        began = clock()
        for number in range(_FILES):
            path = os.path.join(folder, str(number))
            with open(path, "wb") as stream:
                stream.write(b"x" * _BYTES)
            with open(path, "rb") as stream:
                stream.read()
        each = (clock() - began) / _FILES
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return "a small file takes {0:.0f} ms".format(1000 * each) if each > _SLOW_SECONDS else ""


# Servers and their archives.


def servers(home: str, folder: str) -> List[str]:
    """What editors brought into *folder* of *home*: whole servers and their programs, relative to *home*."""
    ide = next(ide for ide, (each, _command) in SERVERS.items() if each == folder)
    # …/<server>/bin/<command>
    found = [os.path.dirname(os.path.dirname(command)) for command in server_commands(ide, home)]
    found += [each for each in glob(os.path.join(home, folder, "code-*")) if os.access(each, os.X_OK)]
    return sorted(os.path.relpath(each, home) for each in found if not os.path.islink(each))


def archives(store: str) -> List[Kept]:
    """Every archive in *store*, the oldest first."""
    folder = os.path.join(store, "servers")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    found = []
    for archive in sorted(
        (os.path.join(folder, each) for each in names if each.endswith(".tar")), key=os.path.getmtime
    ):
        server, _, digest = os.path.basename(archive)[: -len(".tar")].rpartition("@")
        found.append(Kept(unquote(server), digest, archive))
    return found


def keep(home: str, store: str, seen: Dict[str, str]) -> List[str]:
    """Bring *store* up to date with the servers in *home*; gives those that were archived now.

    *seen* remembers each server's digest between calls: what still changes is left for the next one.
    """
    made = []
    for folder in FOLDERS:
        if os.path.islink(os.path.join(home, folder)):
            continue  # it lives on the volume
        for server in _newest(home, servers(home, folder)):
            digest = fingerprint(os.path.join(home, server))
            known = {kept.digest for kept in archives(store) if kept.server == server}
            if digest not in known and seen.get(server) == digest and _archive(home, server, digest, store):
                made.append(server)
            seen[server] = digest
    _prune(home, store, seen)
    return made


def fingerprint(place: str) -> str:
    """A digest of the names, sizes and times at and below *place*."""
    rows = []
    for path in _files(place):
        status = os.lstat(path)
        rows.append("{0} {1} {2}".format(os.path.relpath(path, place), status.st_size, int(status.st_mtime)))
    return hashlib.sha256("\n".join(sorted(rows)).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _archive(home: str, server: str, digest: str, store: str) -> bool:
    """Write the archive of *server*, whole or not at all; false if it changed meanwhile."""
    place = os.path.join(home, server)
    target = os.path.join(store, "servers", "{0}@{1}.tar".format(quote(server, safe=""), digest))
    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
    part = target + ".part"
    try:
        with open(part, "wb") as stream:
            # Without compression: unpacking shall cost no more than the volume's speed.
            with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for path in _files(place):
                    name = os.path.join("server", os.path.relpath(path, place)) if path != place else "server"
                    tar.add(path, name, recursive=False)
            stream.flush()
            os.fsync(stream.fileno())
        if fingerprint(place) != digest:
            return False
        os.rename(part, target)
    finally:
        if os.path.exists(part):
            os.unlink(part)
    for kept in archives(store):
        if kept.server == server and kept.digest != digest:
            os.unlink(kept.archive)
    return True


def _unpack(archive: str, place: str) -> None:
    """Have what *archive* holds at *place*, whole or not at all."""
    draft = place + ".devpod-new"
    os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                top, _, below = member.name.partition("/")
                if top == "server" and ".." not in below.split("/"):
                    tar.extract(member, draft, numeric_owner=True)
        os.rename(os.path.join(draft, "server"), place)
    finally:
        if os.path.isdir(draft):
            shutil.rmtree(draft)


def _adopt(store: str) -> None:
    """Make archives of servers that an earlier container left linked on the volume, in place of what they were."""
    linked = os.path.join(store, "home")
    for folder in FOLDERS:
        for server in servers(linked, folder):
            place = os.path.join(linked, server)
            if any(kept.server == server for kept in archives(store)) or _archive(
                linked, server, fingerprint(place), store
            ):
                shutil.rmtree(place) if os.path.isdir(place) else os.unlink(place)


def _prune(home: str, store: str, seen: Dict[str, str]) -> None:
    """Remove archives of what the editor removed in this container, and of all but the newest versions."""
    versions: Dict[str, int] = {}
    for kept in reversed(archives(store)):
        removed = kept.server in seen and not os.path.lexists(os.path.join(home, kept.server))
        if not removed:
            versions[_kind(kept.server)] = versions.get(_kind(kept.server), 0) + 1
        if removed or versions[_kind(kept.server)] > _MOST:
            os.unlink(kept.archive)


def _newest(home: str, found: List[str]) -> List[str]:
    """The newest few of each kind: editors remove the older ones themselves, some day."""
    newest: Dict[str, List[str]] = {}
    for server in sorted(found, key=lambda each: os.path.getmtime(os.path.join(home, each)), reverse=True):
        newest.setdefault(_kind(server), []).append(server)
    return [server for versions in newest.values() for server in versions[:_MOST]]


def _kind(server: str) -> str:
    """What versions of one thing have in common: .vscode-server/bin, or .vscode-server for its programs."""
    parts = server.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]


def _sweep(folder: str, patterns: Iterable[str]) -> None:
    for pattern in patterns:
        for path in glob(os.path.join(glob_escape(folder), pattern)):
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)


def _files(place: str) -> Iterator[str]:
    """*place* if it is a file, else every file and link below it."""
    if not os.path.isdir(place):
        yield place
        return
    for folder, folders, names in os.walk(place):
        for name in (*names, *(each for each in folders if os.path.islink(os.path.join(folder, each)))):
            yield os.path.join(folder, name)
