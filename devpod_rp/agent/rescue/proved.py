"""What the last unhurried look saw, left on the container disk for one that has four seconds."""

from __future__ import annotations

import json
import os
from typing import Iterable, List, Mapping, NamedTuple, Optional

from devpod_rp.agent.exposure.baseline import DIRECTORY
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.agent.files.changes import Change, Stamp

_FILE = DIRECTORY + "/proved.json"


class Seen(NamedTuple):
    """*packaged* are the files that packages own, by path and in the state in which that was proved; *at_stake* are the
    paths of what only the container disk had."""

    packaged: Mapping[str, Stamp]
    at_stake: List[str]


def store(packaged: Iterable[Change], at_stake: Iterable[str], root: str = "/") -> None:
    """Raises OSError where the disk does not take it."""
    os.makedirs(root.rstrip("/") + DIRECTORY, mode=0o700, exist_ok=True)
    document = {"packaged": {change.path: change.stamp for change in packaged}, "at_stake": list(at_stake)}
    write_atomically(root.rstrip("/") + _FILE, json.dumps(document).encode("ascii"), mode=0o600)


def load(root: str = "/") -> Optional[Seen]:
    """What was seen; None if nobody looked, or it cannot be read."""
    try:
        with open(root.rstrip("/") + _FILE, "rb") as stream:
            document = json.loads(stream.read())
        packaged = {path: Stamp(*stamp) for path, stamp in document["packaged"].items()}
        return Seen(packaged, [str(path) for path in document["at_stake"]])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # then everything is looked at anew
