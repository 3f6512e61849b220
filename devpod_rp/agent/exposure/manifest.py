"""The list of what a rescue saved, kept beside the saved files: enough to put them back and to find them again."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, FrozenSet, Iterator, List, NamedTuple, Optional

from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.agent.files.changes import Stamp

RESCUES = ".devpod/rescue"
INCOMPLETE = ".incomplete-"
INTERRUPTED = "-interrupted"
# Not a name that a file at the top of somebody's container disk has.
FILE = ".devpod-rescue.json"
_VERSION = 1


class Saved(NamedTuple):
    """One saved name. *stamp* is the state of the original that was saved, *digest* its content (None for a link)."""

    path: str
    stamp: Stamp
    mode: int
    uid: int
    gid: int
    digest: Optional[str]
    target: Optional[str]


class Manifest(NamedTuple):
    """What a rescue saved and what not (path -> reason); *no_room* names those that only lacked room on the volume.

    *container* tells which run of a container it was saved from: all rescues of one run are one disk.
    """

    destination: str
    created_at: str
    saved: List[Saved]
    failed: Dict[str, str]
    no_room: FrozenSet[str] = frozenset()
    container: str = ""

    @property
    def size_bytes(self) -> int:
        """Content of the saved files; a file with several names counts once."""
        return sum({saved.stamp: saved.stamp.size for saved in self.saved}.values())


def write(directory: str, manifest: Manifest) -> None:
    document = {
        "version": _VERSION,
        "created_at": manifest.created_at,
        "files": len(manifest.saved),
        "bytes": manifest.size_bytes,
        "failed": manifest.failed,
        "container": manifest.container,
        "saved": [_as_json(saved) for saved in manifest.saved],
    }
    write_atomically(os.path.join(directory, FILE), json.dumps(document, indent=1).encode("ascii"), mode=0o600)


def read(directory: str) -> Manifest:
    """The manifest in *directory*.

    Raises:
        OSError: there is none to read.
        ValueError: it is not one of ours.
    """
    with open(os.path.join(directory, FILE), "rb") as stream:
        document = json.loads(stream.read())
    try:
        if document["version"] != _VERSION:
            raise ValueError("manifest of another version in {0}".format(directory))
        saved = [_from_json(entry) for entry in document["saved"]]
        container = str(document.get("container", ""))
        return Manifest(directory, str(document["created_at"]), saved, dict(document["failed"]), container=container)
    except (KeyError, TypeError) as error:
        raise ValueError("not a manifest of a rescue: {0}".format(directory)) from error


def is_there(directory: str) -> bool:
    """Whether a rescue came so far that its list was written; without one it cannot be put back."""
    return os.path.isfile(os.path.join(directory, FILE))


def every(volume: str) -> Iterator[Manifest]:
    """The manifests of all finished rescues on *volume*, newest first; damaged ones count as no rescue."""
    for name in reversed(finished(volume)):
        try:
            yield read(os.path.join(volume, RESCUES, name))
        except (OSError, ValueError):
            continue


def finished(volume: str) -> List[str]:
    """Names of the rescue directories, oldest first (the name is the time); one that still runs is not among them."""
    try:
        names = os.listdir(os.path.join(volume, RESCUES))
    except FileNotFoundError:
        return []
    return sorted(name for name in names if not name.startswith("."))


def _as_json(saved: Saved) -> Dict[str, Any]:
    document = saved._asdict()
    document["stamp"] = list(saved.stamp)
    return document


def _from_json(document: Dict[str, Any]) -> Saved:
    document["stamp"] = Stamp(*document["stamp"])
    return Saved(**document)


def location(destination: str, path: str) -> str:
    """Where the file that was at *path* lies in a rescue."""
    return destination.rstrip("/") + path
