"""Which files packages own, left on the container disk by the last unhurried look for one that has four seconds."""

from __future__ import annotations

import json
import os
from typing import Dict, Iterable, Mapping, Optional

from devpod_rp.agent.exposure.baseline import DIRECTORY
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.agent.files.changes import Change, Stamp

_FILE = DIRECTORY + "/proved.json"


def store(owned: Iterable[Change], root: str = "/") -> None:
    """Raises OSError where the disk does not take it."""
    os.makedirs(root.rstrip("/") + DIRECTORY, mode=0o700, exist_ok=True)
    stamps = {change.path: change.stamp for change in owned}
    write_atomically(root.rstrip("/") + _FILE, json.dumps(stamps).encode("ascii"), mode=0o600)


def load(root: str = "/") -> Optional[Mapping[str, Stamp]]:
    """The files by path, each with the state in which it was proved; None if nobody looked, or it cannot be read."""
    try:
        with open(root.rstrip("/") + _FILE, "rb") as stream:
            found: Dict[str, Stamp] = {path: Stamp(*stamp) for path, stamp in json.loads(stream.read()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None  # then they are proved anew
    return found
