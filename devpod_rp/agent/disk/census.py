"""What the image and its start brought, name by name: the base that a kept disk differs from.

Recorded on the container disk itself when the pod is handed over, before a person can reach it. Only with it can
anybody say later which names were deleted, and whether another image brings the same file that was edited here.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
import zlib
from typing import Any, Collection, Dict, FrozenSet, List, NamedTuple, Optional

from devpod_rp.agent.archive.signature import FILE, LINK, Signature, signature
from devpod_rp.agent.exposure.baseline import DIRECTORY, Baseline
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.agent.files.changes import Change, Stamp, changed_since
from devpod_rp.agent.files.digests import ChangedWhileRead, content_digest, stamp_of
from devpod_rp.agent.machine.container import Seals
from devpod_rp.agent.machine.mounts import Survey

_FILE = DIRECTORY + "/census"
_VERSION = 1

# What people edit is compared by content where that is cheap, because a start may write it anew at every boot.
_EDITED = ("/etc/", "/root/", "/home/")
_LARGEST_READ = 256 << 10
_MOST_READ_BYTES = 128 << 20


class Census(NamedTuple):
    """*complete*: taken before anybody could reach the container, so that every name in it is the image's.

    Else names that were made or changed before it are missing. *points* are the mount points of that moment.
    """

    complete: bool
    points: FrozenSet[str]
    names: Dict[str, Signature]


def take(
    survey: Survey, seals: Seals, since_ns: int, boot: Optional[Baseline], *, fresh: bool, root: str = "/"
) -> Census:
    """Look at all of the container disk. Not *fresh*: what is newer than *since_ns* and not of *boot* is left out."""
    names: Dict[str, Signature] = {}
    budget = _MOST_READ_BYTES
    prefix = root.rstrip("/")

    def note(path: str, status: os.stat_result) -> None:
        nonlocal budget
        found = signature(status)
        is_new = status.st_ctime_ns >= since_ns
        if is_new and not fresh and not _is_boots(path, status, boot):
            return
        if found.kind == FILE and found.size <= _LARGEST_READ and (is_new or path.startswith(_EDITED)):
            budget -= found.size
            if budget > 0:
                found = found._replace(digest=_digest(prefix + path, stamp_of(status)))
        elif found.kind == LINK and is_new:
            found = found._replace(digest=_digest_of_target(prefix + path))
        names[path] = found

    # No change is so new: this walk is for its witness.
    changed_since(1 << 62, survey, seals=seals, root=root, leave_out=(DIRECTORY,), witness=note)
    return Census(fresh, frozenset(survey.roles), names)


def load(root: str = "/") -> Optional[Census]:
    """The census of this container disk; None if none was taken.

    Raises:
        ValueError: there is one that cannot be read.
    """
    try:
        with open(root.rstrip("/") + _FILE, "rb") as stream:
            document = json.loads(zlib.decompress(stream.read()))
        if document["version"] != _VERSION:
            raise ValueError("written by another version")
        names = {
            folder + name: Signature(*rest) for folder, rows in document["folders"].items() for name, *rest in rows
        }
        return Census(bool(document["complete"]), frozenset(document["points"]), names)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise ValueError("{0} cannot be read: {1}".format(_FILE, error)) from error


def store(census: Census, root: str = "/") -> None:
    """Write the census (0600, atomically)."""
    folders: Dict[str, List[List[Any]]] = {}
    for path, found in census.names.items():
        cut = path.rfind("/") + 1
        folders.setdefault(path[:cut], []).append([path[cut:], *found])
    document = {
        "version": _VERSION,
        "taken_at": time.time(),
        "complete": census.complete,
        "points": sorted(census.points),
        "folders": folders,
    }
    raw = json.dumps(document, ensure_ascii=True, separators=(",", ":")).encode("ascii")
    write_atomically(root.rstrip("/") + _FILE, zlib.compress(raw, 1), mode=0o600)


def is_there(root: str = "/") -> bool:
    return os.path.exists(root.rstrip("/") + _FILE)


def hidden(path: str, points: Collection[str], known: Collection[str]) -> bool:
    """Whether a mount that the census did not see covers *path*, which then is out of sight rather than deleted."""
    above = path
    while above != "/":
        if above in points and above not in known:
            return True
        above = os.path.dirname(above)
    return False


def _is_boots(path: str, status: os.stat_result, boot: Optional[Baseline]) -> bool:
    if boot is None or stat.S_ISDIR(status.st_mode):
        return False
    return boot.covers(Change(path, stamp_of(status), status.st_dev, status.st_nlink, None))


def _digest_of_target(physical: str) -> str:
    try:
        target = os.fsencode(os.readlink(physical))
    except OSError:
        return ""
    return hashlib.blake2b(target, digest_size=32).hexdigest()


def _digest(physical: str, stamp: Stamp) -> str:
    try:
        return content_digest(physical, stamp)
    except (OSError, ChangedWhileRead):
        return ""  # then size and time are all that is known of it
