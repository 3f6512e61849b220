"""What an archive of a disk holds, name by name, and a short account of it: enough to put it back."""

from __future__ import annotations

import errno
import json
import os
import zlib
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from devpod_rp.agent.archive.signature import Signature
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.agent.files.changes import Stamp

ABOUT = "about.json"
INDEX = "index.json.z"
DATA = {"zstd": "disk.tar.zst", "gzip": "disk.tar.gz"}
_VERSION = 1


class Chunk(NamedTuple):
    """A piece of the archive that is compressed by itself: *stored* bytes at *offset*, *size* and digest unpacked."""

    offset: int
    stored: int
    size: int
    digest: str


class Content(NamedTuple):
    """Where a file's bytes lie in the unpacked archive, and which parts of the file they are; the rest is holes."""

    at: int
    segments: Tuple[Tuple[int, int], ...]


class Entry(NamedTuple):
    """One name that is kept. A file has *content*, or the name of its *twin*, another hard link to the same file."""

    path: str
    kind: str
    stamp: Stamp
    mode: int
    uid: int
    gid: int
    digest: Optional[str] = None
    target: Optional[str] = None
    twin: Optional[str] = None
    content: Optional[Content] = None
    traits: Tuple[Tuple[str, str], ...] = ()  # extended attributes: name, value in hexadecimal digits
    base: Optional[Signature] = None


class About(NamedTuple):
    """An archive in a few words. *size* and *stored* are bytes before and after packing; *whole* is False where only
    some folders were wanted. *container* is the run of the container whose disk it is."""

    created_at: str
    image: str
    container: str
    files: int
    size: int
    stored: int
    deleted: int
    seconds: float
    packing: str
    whole: bool = True
    base_known: bool = True
    failed: int = 0


class Index(NamedTuple):
    chunks: List[Chunk]
    entries: List[Entry]
    deleted: Dict[str, Signature]


def write(directory: str, about: About, index: Index) -> None:
    """Write both, the account last: an archive without it is not finished.

    Raises:
        OSError: the index, read back, is not what was written; or it could not be.
    """
    rows: Dict[str, Any] = {
        "version": _VERSION,
        "chunks": index.chunks,
        "entries": index.entries,
        "deleted": index.deleted,
    }
    raw = json.dumps(rows, ensure_ascii=True, separators=(",", ":")).encode("ascii")
    packed = zlib.compress(raw, 3)
    place = os.path.join(directory, INDEX)
    write_atomically(place, packed, mode=0o600)
    with open(place, "rb") as stream:
        if stream.read() != packed:
            raise OSError(errno.EIO, "the volume gave back another index than it took")
    document = {"version": _VERSION, **about._asdict()}
    write_atomically(os.path.join(directory, ABOUT), json.dumps(document, indent=1).encode("ascii"), mode=0o600)


def about(directory: str) -> About:
    """The account of the archive in *directory*.

    Raises:
        OSError: there is none to read. ValueError: it is not one of ours.
    """
    with open(os.path.join(directory, ABOUT), "rb") as stream:
        document = json.loads(stream.read())
    try:
        _check_version(document)
        return About(**document)
    except (TypeError, AttributeError, KeyError) as error:
        raise ValueError("not the account of a kept disk: {0}".format(directory)) from error


def read(directory: str) -> Index:
    """The index of the archive in *directory*.

    Raises:
        OSError: there is none to read. ValueError: it is damaged.
    """
    with open(os.path.join(directory, INDEX), "rb") as stream:
        packed = stream.read()
    try:
        document = json.loads(zlib.decompress(packed))
        _check_version(document)
        chunks = [Chunk(*row) for row in document["chunks"]]
        entries = [_entry(row) for row in document["entries"]]
        deleted = {path: Signature(*row) for path, row in document["deleted"].items()}
    except (zlib.error, TypeError, AttributeError, KeyError, IndexError) as error:
        raise ValueError("the index of a kept disk is damaged: {0}".format(directory)) from error
    for path in [entry.path for entry in entries] + list(deleted):
        if not path.startswith("/") or os.path.normpath(path) != path or "\0" in path:
            raise ValueError("not a plain absolute path in {0}: {1!r}".format(directory, path))
    return Index(chunks, entries, deleted)


def data_file(directory: str, account: About) -> str:
    if account.packing not in DATA:
        raise ValueError("{0} is packed with {1}, which is not known here".format(directory, account.packing))
    return os.path.join(directory, DATA[account.packing])


def _entry(row: List[Any]) -> Entry:
    entry = Entry(*row)
    content = entry.content
    return entry._replace(
        stamp=Stamp(*entry.stamp),
        content=None if content is None else Content(content[0], tuple((start, size) for start, size in content[1])),
        traits=tuple((name, value) for name, value in entry.traits),
        base=None if entry.base is None else Signature(*entry.base),
    )


def _check_version(document: Dict[str, Any]) -> None:
    if document.pop("version") != _VERSION:
        raise ValueError("a kept disk of another version")
