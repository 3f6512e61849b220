"""Archives of editors' servers on the volume: one for each, whole or not there.

Nothing in them is anybody's work: what cannot be read or kept is downloaded again by the editor.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tarfile
from glob import escape as glob_escape
from glob import glob
from typing import Dict, Iterator, List, NamedTuple
from urllib.parse import quote, unquote

from devpod_rp.agent.servers.extending import SERVERS, server_commands

FOLDERS = tuple(folder for folder, _command in SERVERS.values())
_MOST = 2  # versions of one editor: the present one, and the one before


class Kept(NamedTuple):
    """An archive: of what (a path relative to the home), with which digest, and where it lies."""

    server: str
    digest: str
    archive: str


def servers(home: str, folder: str) -> List[str]:
    """What editors brought into *folder* of *home*: whole servers and their programs, relative to *home*."""
    ide = next(ide for ide, (each, _command) in SERVERS.items() if each == folder)
    # …/<server>/bin/<command>
    found = [os.path.dirname(os.path.dirname(command)) for command in server_commands(ide, home)]
    found += [each for each in glob(os.path.join(glob_escape(home), folder, "code-*")) if os.access(each, os.X_OK)]
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
            if digest not in known and seen.get(server) == digest and archive(home, server, digest, store):
                made.append(server)
            seen[server] = digest
    _prune(home, store, seen)
    return made


def fingerprint(place: str) -> str:
    """A digest of the names, sizes and times at and below *place*.

    A link's time is left out, as no archive gives it back; where it leads is in.
    """
    rows = []
    for path in _files(place):
        status = os.lstat(path)
        is_link = stat.S_ISLNK(status.st_mode)
        state = os.readlink(path) if is_link else "{0} {1}".format(status.st_size, int(status.st_mtime))
        rows.append("{0}\0{1}".format(os.path.relpath(path, place), state))
    return hashlib.sha256("\n".join(sorted(rows)).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def archive(home: str, server: str, digest: str, store: str) -> bool:
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


def unpack(archive: str, place: str) -> None:
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


def _files(place: str) -> Iterator[str]:
    """*place* if it is a file, else every file and link below it."""
    if not os.path.isdir(place):
        yield place
        return
    for folder, folders, names in os.walk(place):
        for name in (*names, *(each for each in folders if os.path.islink(os.path.join(folder, each)))):
            yield os.path.join(folder, name)
