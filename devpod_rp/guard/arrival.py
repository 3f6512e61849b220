"""Keeping files of a pod in a folder here: below it and nowhere else, whole or not at all, over nobody's work."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from devpod_rp.agent.exposure import manifest
from devpod_rp.agent.files.naming import unused
from devpod_rp.guard.taken import Offer

PARTS = ".devpod-rp-download"
"""Where files lie that are not complete yet, below the folder."""

_BLOCK = 1 << 20
# Windows has no such call; there each file is flushed by itself.
_SYNCS_ALL = hasattr(os, "sync")
_WINDOWS_DEVICES = frozenset(
    ["CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10))]
)


class CannotKeep(Exception):
    """This name or this place here cannot take the file; the text says why."""


class Arrival:
    """The folder *top* as the place where files of a pod arrive, each at its path on the pod below it.

    What the pod says is not trusted: no path leaves *top*, no link on the way is followed. A different file that has
    the name already is moved aside, never overwritten. Set-user-ID bits stay on the pod: here they would lend the
    user's rights to whoever starts the file.
    """

    def __init__(self, top: Path) -> None:
        self._top = top
        self._arrived: dict[tuple[int, int], str] = {}
        top.mkdir(mode=0o700, parents=True, exist_ok=True)

    def place(self, path: str, *, windows: bool = os.name == "nt") -> Path:
        """Where *path* of the pod lies here.

        Raises:
            CannotKeep: it would lie elsewhere, or cannot have that name on this system.
        """
        names = path.split("/")[1:]
        if not path.startswith("/") or "\0" in path or any(name in ("", ".", "..") for name in names):
            raise CannotKeep("its name is no plain path")
        if names[0] in (PARTS, manifest.FILE):
            raise CannotKeep(f"{names[0]} is a name that devpod-rp uses for itself here")
        if windows:
            for name in names:
                _check_on_windows(name)
        return self._top.joinpath(*names)

    def holds(self, offer: Offer) -> Path | None:
        """The regular file of the same size that is there already, to be compared."""
        place = self.place(offer.path)
        try:
            status = os.lstat(place)
        except OSError:
            return None
        same = stat.S_ISREG(status.st_mode) and status.st_size == offer.stamp.size
        return place if same and self._leads_there(offer.path) else None

    def part(self, offer: Offer) -> Path:
        """Where the content of *offer* is collected; what an earlier try got of this very state is in it."""
        folder = self._top / PARTS
        folder.mkdir(mode=0o700, exist_ok=True)
        named = f"{tuple(offer.stamp)} {offer.path}".encode("utf-8", "surrogatepass")
        return folder / hashlib.blake2b(named, digest_size=16).hexdigest()

    def keep(self, offer: Offer, content: bytes) -> None:
        """Keep a small file whose content is at hand; `make_durable` has to follow."""
        part = self.part(offer)
        part.write_bytes(content)
        if not _SYNCS_ALL:
            _flush(part)
        _dress(part, offer)
        self._name(offer, part)

    def settle(self, offer: Offer, part: Path) -> None:
        """Give the complete file *part* the name, mode and time of *offer*; `make_durable` has to follow.

        Raises:
            CannotKeep: something stands in the way.
        """
        _flush(part)
        _dress(part, offer)
        self._name(offer, part)

    @staticmethod
    def make_durable() -> None:
        """Return when everything that was kept would survive a power cut: at once for many files, not one by one."""
        if _SYNCS_ALL:
            os.sync()

    def link(self, offer: Offer, twin: str) -> bool:
        """Give the file that arrived as *twin* a second name; False where this file system cannot."""
        part = self.part(offer)
        part.unlink(missing_ok=True)
        try:
            os.link(self.place(twin), part)
        except OSError:
            return False  # it is taken as a file of its own instead
        self._name(offer, part)
        return True

    def keep_link(self, offer: Offer) -> bool:
        """Make the symbolic link *offer*, whatever it points at; False if it was there. Raises `CannotKeep`."""
        assert offer.target is not None
        place = self.place(offer.path)
        if place.is_symlink() and os.fspath(place.readlink()) == offer.target and self._leads_there(offer.path):
            return False
        part = self.part(offer)
        if os.path.lexists(part):
            part.unlink()
        part.symlink_to(offer.target)
        if os.utime in os.supports_follow_symlinks:
            os.utime(part, ns=(offer.stamp.mtime_ns, offer.stamp.mtime_ns), follow_symlinks=False)
        self._name(offer, part)
        return True

    def dress(self, offer: Offer) -> None:
        """Give the file that is here already the mode and time that it has on the pod."""
        _dress(self.place(offer.path), offer)

    def dress_folders(self, folders: Iterable[tuple[str, int, int]]) -> None:
        """Give folders (path, mode, mtime_ns) what they have on the pod; those that are not here are skipped."""
        # Deepest first: writing into a folder moves its time.
        for path, mode, mtime_ns in sorted(folders, key=lambda each: -len(each[0])):
            place = self.place(path)
            if self._leads_there(path) and place.is_dir() and not place.is_symlink():
                place.chmod(mode & 0o777 | stat.S_IRWXU)
                os.utime(place, ns=(mtime_ns, mtime_ns))

    def finish(self) -> None:
        """Take the place for parts away, if none is left."""
        folder = self._top / PARTS
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    def _name(self, offer: Offer, part: Path) -> None:
        place = self.place(offer.path)
        self._make_folders(offer.path)
        if os.path.lexists(place):
            status = os.lstat(place)
            if stat.S_ISDIR(status.st_mode):
                raise CannotKeep("a folder has its name here")
            earlier = self._arrived.get((status.st_dev, status.st_ino))
            if earlier is not None and earlier != offer.path:
                raise CannotKeep(f"its name is the same as that of {earlier} on this system")
            place.rename(unused(f"{place}.old"))
        part.rename(place)
        status = os.lstat(place)
        self._arrived.setdefault((status.st_dev, status.st_ino), offer.path)

    def _make_folders(self, path: str) -> None:
        folder = self._top
        for name in path.split("/")[1:-1]:
            folder = folder / name
            try:
                status = os.lstat(folder)
            except FileNotFoundError:
                folder.mkdir(mode=0o700)
                continue
            if not stat.S_ISDIR(status.st_mode):
                raise CannotKeep(f"{folder} is no folder")

    def _leads_there(self, path: str) -> bool:
        """Whether everything above *path* is a folder here, and no link."""
        folder = self._top
        for name in path.split("/")[1:-1]:
            folder = folder / name
            if folder.is_symlink() or not folder.is_dir():
                return False
        return True


def digest(path: Path) -> str:
    """The content of a file here as the agent names it (blake2b, 32 bytes, hex)."""
    found = hashlib.blake2b(digest_size=32)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


def _dress(place: Path, offer: Offer) -> None:
    place.chmod(offer.mode & 0o777 | stat.S_IRUSR)
    os.utime(place, ns=(offer.stamp.mtime_ns, offer.stamp.mtime_ns))


def _check_on_windows(name: str) -> None:
    # A colon would name a stream or a drive, a backslash a folder; the rest Windows changes or refuses silently.
    if set(name) & set('<>:"\\|?*') or any(ord(character) < 32 for character in name) or name[-1] in ". ":
        raise CannotKeep("Windows cannot have a file of this name")
    if name.split(".")[0].upper().rstrip() in _WINDOWS_DEVICES:
        raise CannotKeep("its name is a device on Windows")


def _flush(path: Path) -> None:
    with path.open("r+b") as stream:
        os.fsync(stream.fileno())
