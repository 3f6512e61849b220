"""The synchronised folder on the pod: who it is, and how paths in it are resolved without leaving it.

The folder's identity (a random token, its inode) is recorded beside the trash and the staging area, outside the folder
itself, so that a folder that was replaced, emptied with its volume or came from a fresh image is recognised instead of
being read as "everything was deleted".
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import time
from collections import OrderedDict
from typing import Any, Dict, Iterator, List, Optional, Tuple

from devpod_rp.agent.files import durable, fitting
from devpod_rp.agent.files.abilities import PLAIN, Abilities, probe
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.agent.files.places import OPEN_FOLDER
from devpod_rp.agent.sync import trash
from devpod_rp.agent.wire import Refusal, Request

PART = b".part"
PART_SECONDS = 24 * 3600
_OPEN_FOLDERS = 256
_NOT_A_FOLDER = (errno.ENOTDIR, errno.ELOOP, errno.EMLINK)


def encode(path: str) -> bytes:
    """The bytes of a name as it lies on disk; surrogates stand for bytes outside UTF-8, whatever the locale says."""
    return path.encode("utf-8", "surrogateescape")


def parts_of(path: Any) -> List[bytes]:
    """The components of a relative path off the wire; refuses everything that could lead out of the folder."""
    if not isinstance(path, str) or not path or "\0" in path:
        raise Refusal("bad-request", "not a relative path: %r" % (path,))
    parts = encode(path).split(b"/")
    if b"" in parts or b"." in parts or b".." in parts:
        raise Refusal("bad-request", "not a relative path: %r" % (path,))
    return parts


class Area:
    """Where a synchronisation keeps what is not the user's: staging, trash and identities, on the folder's volume."""

    def __init__(self, header: Dict[str, Any]):
        root, state = header.get("root"), header.get("state")
        if (
            not isinstance(root, str)
            or not isinstance(state, str)
            or not root.startswith("/")
            or not state.startswith("/")
        ):
            raise Refusal("bad-request", "root and state must be absolute paths")
        self.root = encode(os.path.normpath(root))
        self.state = encode(os.path.normpath(state))
        key = hashlib.blake2b(self.root, digest_size=8).hexdigest().encode()
        self.record = os.path.join(self.state, b"roots", key, b"root-id")
        self.lease = os.path.join(self.state, b"roots", key, b"lease")
        self.stage = os.path.join(self.state, b"stage", key)
        self.trash = os.path.join(self.state, b"trash", key)
        self._token = header.get("token")

    def is_known(self) -> bool:
        """Whether the folder's identity is the one that the caller named, if any."""
        return self._token is None or self._token == self._recorded().get("token")

    def prepare(self) -> None:
        """Make the folder and our own beside it, and clear what an earlier run left unfinished."""
        os.makedirs(self.root, exist_ok=True)
        for path in (self.state, self.stage, self.trash, os.path.dirname(self.record)):
            os.makedirs(path, mode=0o700, exist_ok=True)
        if os.stat(self.state).st_dev != os.stat(self.root).st_dev:
            raise Refusal("bad-request", "the state folder must lie on the same file system as the synchronised folder")
        for name in os.listdir(self.stage):
            path = os.path.join(self.stage, name)
            # Parts of a large file are named by its content: an upload that was cut goes on from them.
            if not name.endswith(PART) or time.time() - os.lstat(path).st_mtime > PART_SECONDS:
                os.unlink(path)
        trash.prune(self.trash, time.time())

    def drop_parts(self) -> None:
        """Give up every large file that came only in part."""
        for name in os.listdir(self.stage):
            if name.endswith(PART):
                os.unlink(os.path.join(self.stage, name))

    def identity(self) -> Dict[str, Any]:
        """What is known of the folder: does it exist, is it empty, which token was recorded for which inode."""
        recorded = self._recorded()
        facts: Dict[str, Any] = {"token": recorded.get("token"), "recorded_ino": recorded.get("ino")}
        try:
            status = os.lstat(self.root)
            names = os.listdir(self.root)
        except (FileNotFoundError, NotADirectoryError):
            facts.update(exists=False, ino=None, empty=True)
            return facts
        own = os.path.basename(self.state) if os.path.dirname(self.state) == self.root else None
        facts.update(
            exists=stat.S_ISDIR(status.st_mode),
            ino=status.st_ino,
            empty=not [name for name in names if name != own],
        )
        return facts

    def adopt(self, token: str) -> None:
        status = os.lstat(self.root)
        record = {"token": token, "ino": status.st_ino, "dev": status.st_dev}
        known = self._recorded()
        # A full volume must not keep out who knows it. Device numbers change when it is mounted again.
        if (known.get("token"), known.get("ino")) != (token, status.st_ino):
            write_atomically(os.fsdecode(self.record), json.dumps(record).encode("ascii"))

    def now_ns(self) -> int:
        """The present by the clock that stamps the folder's files."""
        return durable.clock(os.path.dirname(self.record))

    def abilities(self) -> Abilities:
        """What the volume makes of names and modes, found out once; one that is too full to tell counts as plain."""
        if self.stage not in _abilities:
            try:
                _abilities[self.stage] = probe(self.stage)
            except OSError:
                return PLAIN
        return _abilities[self.stage]

    def _recorded(self) -> Dict[str, Any]:
        try:
            with open(self.record, "rb") as stream:
                found = json.loads(stream.read().decode("ascii"))
        except (OSError, ValueError):
            return {}  # a record that cannot be read is no proof of identity
        return found if isinstance(found, dict) else {}


class Root:
    """The synchronised folder, open: each path is walked from its descriptor, component by component, no link followed.

    rsync 3.5.0 (CVE-2026-53802 and its family) is why: a component may be swapped for a link between check and use,
    and the agent is root.
    """

    def __init__(self, area: Area, ino: Any):
        try:
            self.descriptor = os.open(area.root, OPEN_FOLDER)
        except OSError as error:
            raise Refusal("changed", "the synchronised folder is gone: %s" % os.strerror(error.errno or 0)) from error
        self._open: "OrderedDict[Tuple[bytes, ...], int]" = OrderedDict()
        # A fresh volume numbers its folders as the old one did, so the token is asked for, too.
        if os.fstat(self.descriptor).st_ino != ino or not area.is_known():
            self.close()
            raise Refusal("changed", "the synchronised folder was replaced by another one")

    def __enter__(self) -> "Root":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()
        os.close(self.descriptor)

    def parent(self, path: Any) -> Tuple[int, bytes]:
        """A descriptor of the folder that holds *path*, and the last component; valid until the next call.

        Raises FileNotFoundError when a folder above is absent, Refusal "changed" when it is no folder.
        """
        parts = parts_of(path)
        return self._folder(tuple(parts[:-1])), parts[-1]

    def forget(self, path: str) -> None:
        """Drop what is remembered of a folder that was removed or replaced."""
        above = tuple(parts_of(path))
        for known in [known for known in self._open if known[: len(above)] == above]:
            os.close(self._open.pop(known))

    def _folder(self, parts: Tuple[bytes, ...]) -> int:
        if not parts:
            return self.descriptor
        known = self._open.get(parts)
        if known is not None:
            self._open.move_to_end(parts)
            return known
        above = self._folder(parts[:-1])
        try:
            descriptor = os.open(parts[-1], OPEN_FOLDER, dir_fd=above)
        except OSError as error:
            if error.errno in _NOT_A_FOLDER:
                raise Refusal("changed", "a folder above was replaced by something else") from error
            raise
        self._open[parts] = descriptor
        while len(self._open) > _OPEN_FOLDERS:
            os.close(self._open.popitem(last=False)[1])
        return descriptor


def open_root(request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """Op ``root.open {root, state, adopt, only}``: who the folder is; with a token in *adopt* it is made ours first.

    *only* says when: "known": if it is ours under that token already, and holds something; "new": if nobody knows it by
    any. The *abilities* of its disk are told of a folder that is ours.
    """
    area = Area(request.header)
    token: Optional[Any] = request.header.get("adopt")
    if token is not None and (not isinstance(token, str) or not 16 <= len(token) <= 64):
        raise Refusal("bad-request", "a token has 16 to 64 characters")
    facts = area.identity()
    only = request.header.get("only")
    refused = (only == "known" and not _is_ours(facts, token)) or (only == "new" and facts["token"])
    if token is None or refused:
        yield facts, b""
        return
    area.prepare()
    area.adopt(token)
    yield {**area.identity(), "abilities": area.abilities().to_wire()}, b""


def _is_ours(facts: Dict[str, Any], token: Optional[str]) -> bool:
    same = facts["token"] == token and facts["recorded_ino"] == facts["ino"]
    return same and bool(facts["exists"]) and not facts["empty"]


def room(request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """Op ``root.room {root, state, size_bytes}``: *free_bytes* on the folder's volume, which has *size_bytes* if known.

    A network volume answers for its whole cluster, so what is on it is counted; see fitting.room.
    """
    size = request.header.get("size_bytes")
    if size is not None and not isinstance(size, int):
        raise Refusal("bad-request", "a size is a number of bytes")
    yield {"free_bytes": fitting.room(os.fsdecode(os.path.dirname(Area(request.header).state)), size)}, b""


_abilities: Dict[bytes, Abilities] = {}

OPERATIONS = {"root.open": open_root, "root.room": room}
