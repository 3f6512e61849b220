"""Paths of the container disk that live on the volume: their content moves there, and a link takes their place.

A move copies everything, proves the copies, makes them durable, and only then removes what did not change meanwhile;
cut off anywhere, the next one goes on, and no version of a file was ever in fewer than one place.
"""

from __future__ import annotations

import errno
import filecmp
import json
import os
import stat
import time
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from devpod_rp.agent.exposure import baseline as baselines
from devpod_rp.agent.exposure.examine import since_ns, survey_mounts
from devpod_rp.agent.files import durable
from devpod_rp.agent.files.changes import Change, Stamp, look
from devpod_rp.agent.files.copying import CopyDiffers, copy_verified, keep_attributes
from devpod_rp.agent.files.digests import ChangedWhileRead, stamp_of
from devpod_rp.agent.files.places import OPEN_FOLDER
from devpod_rp.agent.machine.mounts import Survey, lies_below
from devpod_rp.agent.wire import Handler, Refusal, Request

_PASSES = 3
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Left(Exception):
    """A path stays as it is; the argument says why."""


class Wish(NamedTuple):
    """A path (``~`` is the home of who asks), and whether it is a folder where neither side has it yet."""

    path: str
    is_folder: bool


def operations(root: str = "/", proc: Path = Path("/proc")) -> Dict[str, Handler]:
    """The operations for the container whose disk is at *root* and whose kernel speaks through *proc*."""
    return {"persist.link": partial(_link, root, proc)}


def _link(root: str, proc: Path, request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """Op ``persist.link {volume, store, fresh}``, body: a JSON list of [path, is_folder]: link each into *store*.

    *fresh*: nobody could reach the container yet, so nothing in it is a user's.

    The answer's body maps each path that could not be to the reason. Refuses with "not-permitted" where *volume* is no
    mounted volume: a link into a plain folder would promise what a stop breaks.
    """
    volume, store = str(request.header.get("volume", "")), str(request.header.get("store", ""))
    try:
        wishes = [Wish(str(path), bool(is_folder)) for path, is_folder in json.loads(request.body)]
    except (ValueError, TypeError) as error:
        raise Refusal("bad-request", "persist.link needs a list of paths") from error
    survey = survey_mounts([volume], proc=proc)
    if volume not in survey.volumes:
        reason = survey.disguised.get(volume, "nothing is mounted there")
        raise Refusal("not-permitted", "{0} is no volume that outlives a stop: {1}".format(volume, reason))
    if not lies_below(store, volume):
        raise Refusal("bad-request", "the store does not lie on the volume")
    fresh = request.header.get("fresh") is True
    left = Shelf(volume, store, survey, _made_here(fresh, root, proc), root, proc).take(wishes)
    yield {}, json.dumps(left).encode("ascii")


def _made_here(fresh: bool, root: str, proc: Path) -> Callable[[Change], bool]:
    if fresh:
        return lambda _change: False
    baseline = baselines.load(root)
    since = since_ns(baseline, proc)
    return lambda change: change.stamp.ctime_ns >= since and not (baseline is not None and baseline.covers(change))


class Shelf:
    """The place on the volume where the paths of one environment live.

    *made_here* tells what a user made in this container from what its image and its start did.
    """

    def __init__(
        self,
        volume: str,
        store: str,
        survey: Survey,
        made_here: Callable[[Change], bool],
        root: str = "/",
        proc: Path = Path("/proc"),
    ) -> None:
        self._prefix = root.rstrip("/")
        self._volume = volume
        self._store = store
        self._survey = survey
        self._proc = proc
        self._made_here = made_here
        self._replaced = "{0}/replaced/{1}".format(store, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))

    def take(self, wishes: List[Wish]) -> Dict[str, str]:
        """Make each wish a link; returns those that stay as they are, with the reason."""
        left: Dict[str, str] = {}
        for wish in sorted(wishes):  # a folder before what lies in it
            try:
                self._take(wish)
            except Left as reason:
                left[wish.path] = str(reason)
            except OSError as error:
                full = error.errno in _FULL
                left[wish.path] = "the volume is full" if full else (error.strerror or str(error))
        return left

    def _take(self, wish: Wish) -> None:
        home = os.path.expanduser("~")
        path = os.path.normpath(home + wish.path[1:] if wish.path.startswith("~/") else wish.path)
        kept = self._store + ("/home" + wish.path[1:] if wish.path.startswith("~/") else "/disk" + path)
        kept = os.path.normpath(kept)
        name, place = self._prefix + path, self._prefix + kept
        if self._on_volume(path):
            return
        status = _status(name)
        if status is not None and stat.S_ISLNK(status.st_mode):
            if lies_below(os.readlink(name), self._volume + "/.devpod/dotfiles"):
                return  # its user's own, and made again at every start
            if os.readlink(name) != kept:
                raise Left("it is a link to {0}".format(os.readlink(name)))
            _ensure(place, wish.is_folder)
            return
        if status is not None:
            self._move(path, name, place, stat.S_ISDIR(status.st_mode))
        _ensure(place, wish.is_folder)
        os.makedirs(os.path.dirname(name), exist_ok=True)
        temporary = "{0}.devpod-{1}".format(name, os.getpid())
        os.symlink(kept, temporary)
        try:
            os.link(temporary, name, follow_symlinks=False)  # where something appeared meanwhile, it stays
        except FileExistsError as error:
            raise Left("it appeared again while it was moved") from error
        finally:
            os.unlink(temporary)

    def _on_volume(self, path: str) -> bool:
        """Whether a folder above is a link into the volume already."""
        above = os.path.realpath(self._prefix + os.path.dirname(path))[len(os.path.realpath(self._prefix or "/")) :]
        return lies_below("/" + above.lstrip("/"), self._volume)

    # Moving what is there.

    def _move(self, path: str, name: str, place: str, is_folder: bool) -> None:
        there = _status(place)
        if there is not None and stat.S_ISDIR(there.st_mode) != is_folder:
            raise Left("the volume has a {0} at its place".format("file" if is_folder else "folder"))
        if any(point == path or lies_below(point, path) for point in self._survey.roles):
            raise Left("something is mounted there")
        process = self._user_of(path)
        if process is not None:
            raise Left("process {0} uses it; it is kept from the next start on".format(process))
        for _ in range(_PASSES):
            copied = [(source, self._copied(source, place + source[len(name) :])) for source in _files(name)]
            self._make_durable(place)
            for source, stamp in copied:
                if stamp is None or stamp == _stamp(source):
                    os.unlink(source)
            if is_folder:
                _remove_folders(name, place)
            if not os.path.lexists(name):
                return
        raise Left("it changes while it is moved")

    def _copied(self, source: str, target: str) -> Optional[Stamp]:
        """Bring one name to the volume; its state that is there now. None for what holds no content."""
        status = os.lstat(source)
        self._make_folders(os.path.dirname(source), os.path.dirname(target))
        if stat.S_ISLNK(status.st_mode):
            if not (os.path.islink(target) and os.readlink(target) == os.readlink(source)):
                if not self._gives_way(target, source):
                    return stamp_of(status)
                os.symlink(os.readlink(source), target)
                keep_attributes(target, status)
            return stamp_of(status)
        if not stat.S_ISREG(status.st_mode):
            if stat.S_ISSOCK(status.st_mode) or stat.S_ISFIFO(status.st_mode):
                return None
            raise Left("it holds a device")
        if os.path.isfile(target) and not os.path.islink(target) and filecmp.cmp(source, target, shallow=False):
            return stamp_of(status)
        if self._gives_way(target, source):
            try:
                for _ in copy_verified(source, target + ".devpod-part", target, stamp_of(status)):
                    pass
            except ChangedWhileRead:
                raise Left("it changes while it is moved") from None
            except CopyDiffers as error:
                raise Left("the volume gave back other bytes than it took") from error
        return stamp_of(status)

    def _gives_way(self, target: str, source: str) -> bool:
        """Whether *target* is free now for *source*, the version of the container.

        What the image and the start make is in every container again, so the version on the volume, which somebody
        made, stays. Else both are somebody's: the newer one gets the name, the older one is kept beside.
        """
        if not os.path.lexists(target):
            return True
        if not self._made_here(look(source[len(self._prefix) :], root=self._prefix or "/")):
            return False
        aside = self._prefix + self._replaced + target[len(self._prefix + self._store) :]
        os.makedirs(os.path.dirname(aside), mode=0o700, exist_ok=True)
        os.rename(target, aside)
        return True

    def _make_folders(self, source: str, target: str) -> None:
        """The folder *target* with those above it; where it is new, it gets the attributes of *source*."""
        if os.path.isdir(target):
            return
        if target == self._prefix + self._store or not os.path.isdir(source):
            os.makedirs(target, mode=0o700, exist_ok=True)
            return
        self._make_folders(os.path.dirname(source), os.path.dirname(target))
        os.mkdir(target, 0o700)
        keep_attributes(target, os.lstat(source))

    def _make_durable(self, place: str) -> None:
        folder = place if os.path.isdir(place) else os.path.dirname(place)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        descriptor = os.open(folder, OPEN_FOLDER)
        try:
            durable.flush_everything(descriptor)
        finally:
            os.close(descriptor)

    def _user_of(self, path: str) -> Optional[int]:
        """A process with something open at or below *path*, or that stands in it."""
        for name in os.listdir(str(self._proc)):
            if not name.isdigit():
                continue
            folder = self._proc / name
            try:
                links = [folder / "cwd", folder / "exe", *(folder / "fd").iterdir()]
            except OSError:
                continue  # it ended
            for link in links:
                try:
                    target = os.readlink(str(link))
                except OSError:
                    continue  # closed meanwhile, or a kernel thread without a program
                if target == path or lies_below(target, path):
                    return int(name)
        return None


def _status(path: str) -> Optional[os.stat_result]:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _stamp(path: str) -> Optional[Stamp]:
    status = _status(path)
    return None if status is None else stamp_of(status)


def _ensure(place: str, is_folder: bool) -> None:
    """A folder must be there for programs to make files in it; a file appears when it is first written to."""
    os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
    if is_folder and not os.path.lexists(place):
        os.mkdir(place, 0o700)


def _files(name: str) -> Iterator[str]:
    """Every name at or below *name* that is no folder."""
    if not os.path.isdir(name) or os.path.islink(name):
        if os.path.lexists(name):
            yield name
        return
    with os.scandir(name) as entries:
        listed = list(entries)
    for entry in listed:
        yield from _files(entry.path)


def _remove_folders(name: str, place: str) -> None:
    """Remove *name* and the folders in it as far as they are empty; an empty one is there on the volume as well."""
    status = _status(name)
    if status is None or not stat.S_ISDIR(status.st_mode):
        return
    if not os.path.isdir(place):
        os.makedirs(place, mode=0o700)
        keep_attributes(place, status)
    for child in sorted(os.listdir(name)):
        _remove_folders(os.path.join(name, child), os.path.join(place, child))
    try:
        os.rmdir(name)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


OPERATIONS: Dict[str, Handler] = operations()
