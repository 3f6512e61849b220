"""Where the archives of one environment lie on its volume, and which of them are there.

``<volume>/.devpod/disk/<environment>/<UTC time>/``: the archive, its index, and its account, which is written last. An
archive under way has another name; it gets its own by a rename when it is proved. The last two stay.
"""

from __future__ import annotations

import os
import shutil
from typing import List, NamedTuple, Optional

from devpod_rp.agent.archive import index
from devpod_rp.agent.archive.index import About
from devpod_rp.agent.wire import Refusal

FOLDER = ".devpod/disk"
KEPT = 2
_INCOMPLETE = ".incomplete-"
_TRASH = ".trash-"
_HELD = "held"


class Archive(NamedTuple):
    """A finished archive; *directory* is where it really is, *held* that it is not to be removed."""

    name: str
    directory: str
    about: About
    held: bool


class Rack:
    """The archives in *store*, a directory."""

    def __init__(self, store: str) -> None:
        self.store = store

    def archives(self) -> List[Archive]:
        """Those that are finished and can be read, oldest first."""
        found = []
        for name in _listed(self.store):
            archive = None if name.startswith(".") else self.find(name)
            if archive is not None:
                found.append(archive)
        return sorted(found)

    def newest(self) -> Optional[Archive]:
        return max(self.archives(), default=None)

    def find(self, name: str) -> Optional[Archive]:
        """The finished archive of this name; None if there is none."""
        directory = os.path.join(self.store, name)
        try:
            about = index.about(directory)
            size = os.lstat(index.data_file(directory, about)).st_size
        except (OSError, ValueError):
            return None
        if size != about.stored:
            return None
        return Archive(name, directory, about, os.path.exists(os.path.join(directory, _HELD)))

    def draft(self, name: str) -> str:
        """A new directory to write an archive in."""
        os.makedirs(self.store, mode=0o700, exist_ok=True)
        directory = os.path.join(self.store, _INCOMPLETE + name)
        os.mkdir(directory, 0o700)
        return directory

    def publish(self, draft: str, name: str) -> str:
        """Give the proved archive its name; what would survive a power cut."""
        place = os.path.join(self.store, name)
        os.rename(draft, place)
        _sync(self.store)
        return place

    def hold(self, archive: Archive) -> None:
        """Never prune it: it holds what was not put back on the disk that the next archive is made of."""
        os.close(os.open(os.path.join(archive.directory, _HELD), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def clear(self) -> None:
        """Remove what was cut off; only after another archive was proved, for it may be all that is left of a disk."""
        for name in _listed(self.store):
            if name.startswith((_INCOMPLETE, _TRASH)):
                shutil.rmtree(os.path.join(self.store, name))

    def prune(self, keep: int) -> None:
        """Remove all but the newest *keep* of those that are not held."""
        loose = [archive for archive in self.archives() if not archive.held]
        for archive in loose[: max(0, len(loose) - keep)]:
            trash = os.path.join(self.store, _TRASH + archive.name)
            os.rename(archive.directory, trash)
            shutil.rmtree(trash)

    def discard(self, draft: str) -> None:
        shutil.rmtree(draft)


def release(archive: Archive) -> None:
    """It may be pruned again: all of it is on a disk."""
    try:
        os.unlink(os.path.join(archive.directory, _HELD))
    except FileNotFoundError:
        return


def store_of(volume: str, environment: str) -> str:
    """Where the archives of *environment* lie.

    Raises:
        Refusal: that is no plain name.
    """
    if not environment or "/" in environment or environment.startswith("."):
        raise Refusal("bad-request", "not the name of an environment: {0!r}".format(environment))
    return "{0}/{1}/{2}".format(volume.rstrip("/"), FOLDER, environment)


def stores(volume: str) -> List[Rack]:
    """The racks of every environment on *volume*."""
    folder = os.path.join(volume, FOLDER)
    return [Rack(os.path.join(folder, name)) for name in _listed(folder)]


def _listed(folder: str) -> List[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
