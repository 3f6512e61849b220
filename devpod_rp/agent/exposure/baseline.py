"""What the image's own boot left behind: recorded once per container disk, so that it is never taken for the user's.

The record lies on the container disk itself. It dies with it at a stop, and it survives what the disk survives (a
container that was restarted in place), so that files from before such a restart are still seen as new.
"""

from __future__ import annotations

import json
import os
from typing import Dict, FrozenSet, NamedTuple, Optional, Tuple

from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.agent.files.changes import Change, Stamp

DIRECTORY = "/run/devpod_rp"
_FILE = DIRECTORY + "/baseline.json"
_VERSION = 1


class Baseline(NamedTuple):
    born_ns: int  # when the container began that first used this disk
    stamps: Dict[str, Stamp]
    processes: FrozenSet[Tuple[int, int]] = frozenset()  # (pid, began) of what the boot started

    def covers(self, change: Change) -> bool:
        """Whether this is exactly what the boot left: same inode, size and both times."""
        return self.stamps.get(change.path) == change.stamp


def load(root: str = "/") -> Optional[Baseline]:
    """The record of this container disk; None if there is none.

    Raises:
        ValueError: there is one that cannot be read. It is not replaced: by now it would swallow the user's files.
    """
    path = root.rstrip("/") + _FILE
    try:
        with open(path, "rb") as stream:
            document = json.loads(stream.read())
        if document["version"] != _VERSION:
            raise ValueError("written by another version")
        stamps = {name: Stamp(*stamp) for name, stamp in document["stamps"].items()}
        processes = frozenset((int(pid), int(began)) for pid, began in document["processes"])
        return Baseline(int(document["born_ns"]), stamps, processes)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("{0} cannot be read: {1}".format(_FILE, error)) from error


def store(baseline: Baseline, root: str = "/") -> None:
    """Write the record (0600, atomically)."""
    document = {
        "version": _VERSION,
        "born_ns": baseline.born_ns,
        "stamps": baseline.stamps,
        "processes": sorted(baseline.processes),
    }
    path = root.rstrip("/") + _FILE
    # Names that are no valid UTF-8 live as lone surrogates, which ASCII-only JSON keeps.
    write_atomically(os.fspath(path), json.dumps(document, ensure_ascii=True).encode("ascii"), mode=0o600)
