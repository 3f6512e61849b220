"""Keeping the container disk: what differs from the image goes to the volume as one archive that is proved."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Generator, Iterator, List, NamedTuple, Optional

from devpod_rp.agent.archive import chunks, index, restored, tarring
from devpod_rp.agent.archive.index import About, Index
from devpod_rp.agent.archive.racks import KEPT, Archive, Rack, store_of
from devpod_rp.agent.archive.signature import FILE, FOLDER
from devpod_rp.agent.disk import census
from devpod_rp.agent.disk.delta import Choice, Delta, differences
from devpod_rp.agent.disk.writing import FULL, Writer
from devpod_rp.agent.files import fitting
from devpod_rp.agent.files.copying import CopyDiffers
from devpod_rp.agent.files.naming import unused
from devpod_rp.agent.machine.container import identity
from devpod_rp.agent.rescue.shelf import alone_in
from devpod_rp.agent.wire import Refusal

_PASSES = 3


class Step(NamedTuple):
    """How far it is: *phase* is "packing" or "proving", *size_bytes* of *total* are done."""

    phase: str
    files: int
    size_bytes: int
    total: int


class Kept(NamedTuple):
    """What was kept; *failed* says what could not be read and why. *fresh* is False where an earlier archive holds all
    of it already."""

    name: str
    about: About
    failed: Dict[str, str]
    fresh: bool


class Order(NamedTuple):
    """*image* is what the pod was made of, *size_bytes* the size of the volume if it is known."""

    volume: str
    environment: str
    image: str
    choice: Choice
    size_bytes: Optional[int] = None


Steps = Generator[Step, None, Kept]


def keep(order: Order, *, root: str = "/", proc: Path = Path("/proc"), now: Optional[float] = None) -> Steps:
    """Archive what *order* chooses of the container disk, and prove it, in ``<volume>/.devpod/disk/<environment>``.

    What changes meanwhile is archived again, until a look finds nothing new. The archive before it stays until this
    one is proved, and one that was never put back stays in any case.

    Raises:
        Refusal: nothing was kept, and no earlier archive was touched: "not-permitted" when *volume* is no mounted
            volume, "busy" when another one is being made, "no-space", "unexpected" when nobody can say what is on the
            disk or the volume does not give back what it took.
    """
    began = time.monotonic()
    store = store_of(order.volume, order.environment)
    try:
        known = census.load(root)
        delta = differences(order.volume, order.choice, known, root=root, proc=proc)
    except ValueError as error:
        raise Refusal("unexpected", str(error)) from error
    survey = delta.exposure.survey
    if order.volume not in survey.volumes:
        reason = survey.disguised.get(order.volume, "nothing is mounted there")
        raise Refusal("not-permitted", "{0} is no volume that outlives a stop: {1}".format(order.volume, reason))
    if delta.problems:
        path, reason = next(iter(delta.problems.items()))
        raise Refusal("unexpected", "could not look into {0}: {1}".format(path, reason))
    rack = Rack(root.rstrip("/") + store)
    try:
        with _alone(rack):
            note = restored.load(root)
            same = _held_already(rack, note, delta, store, whole=order.choice.everything)
            if same is not None:
                return Kept(same.name, same.about, {}, fresh=False)
            _protect(rack, note, store, identity(proc))
            # The last good one and this one: what is older makes room now.
            rack.prune(KEPT - 1)
            name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
            name = os.path.basename(unused(os.path.join(rack.store, name)))
            kept = yield from _Work(order, delta, known, rack, name, root, proc).run(began)
            rack.clear()
            return kept
    except OSError as error:
        if error.errno in FULL:
            raise Refusal("no-space", "the volume has no room for it") from error
        raise


class _Work:
    """One archive in the making."""

    def __init__(
        self, order: Order, delta: Delta, known: Optional[census.Census], rack: Rack, name: str, root: str, proc: Path
    ) -> None:
        self._order = order
        self._delta = delta
        self._known = known
        self._rack = rack
        self._name = name
        self._root = root
        self._proc = proc
        self._packing = chunks.best()
        self._writer: Writer

    def run(self, began: float) -> Steps:
        draft = self._rack.draft(self._name)
        try:
            path = os.path.join(draft, index.DATA[self._packing.name])
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                pieces = yield from self._pack(descriptor)
                yield from self._prove(descriptor, pieces)
            finally:
                os.close(descriptor)
            about = self._about(began, sum(piece.stored for piece in pieces))
            index.write(draft, about, Index(pieces, list(self._writer.entries.values()), self._delta.deleted))
            self._rack.publish(draft, self._name)
        except BaseException:
            # A kill leaves it under its working name until another one is proved: it may be all that is left.
            if os.path.isdir(draft):
                self._rack.discard(draft)
            raise
        return Kept(self._name, about, self._writer.failed, fresh=True)

    def _pack(self, descriptor: int) -> Generator[Step, None, List[index.Chunk]]:
        room = fitting.room(self._root.rstrip("/") + self._order.volume, self._order.size_bytes)
        packer = chunks.Packer(descriptor, self._packing, room)
        self._writer = Writer(packer, self._root)
        try:
            yield from self._add_all()
            packer.write(tarring.END)
            return packer.close()
        except BaseException:
            packer.give_up()
            raise

    def _add_all(self) -> Generator[Step, None, None]:
        """Add what differs, and look again, until everything is in the archive as it is on the disk."""
        writer = self._writer
        total = 0
        for last in range(1, _PASSES + 1):
            due = [item for item in self._delta.items if writer.lacks(item)]
            total += sum(item.stamp.size for item in due if item.kind == FILE)
            for item in due:
                for _ in writer.add(item):
                    yield Step("packing", len(writer.entries), writer.size_bytes, total)
                yield Step("packing", len(writer.entries), writer.size_bytes, total)
            if not due or last == _PASSES:
                break
            choice = self._order.choice
            self._delta = differences(self._order.volume, choice, self._known, root=self._root, proc=self._proc)
        writer.keep_only({item.path for item in self._delta.items})

    def _prove(self, descriptor: int, pieces: List[index.Chunk]) -> Generator[Step, None, None]:
        # Ask for what the volume holds rather than for the pages just written.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        reader = chunks.Unpacker(descriptor, self._packing, pieces)
        proved = 0
        total = sum(piece.size for piece in pieces)
        try:
            for size in reader.prove():
                proved += size
                yield Step("proving", len(self._writer.entries), proved, total)
        except CopyDiffers as error:
            raise Refusal("unexpected", "the volume gave back other bytes than it took: {0}".format(error)) from error
        finally:
            reader.close()

    def _about(self, began: float, stored: int) -> About:
        files = [entry for entry in self._writer.entries.values() if entry.kind != FOLDER]
        return About(
            created_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            image=self._order.image,
            container=identity(self._proc),
            files=len(files),
            size=sum(entry.stamp.size for entry in files if entry.content is not None),
            stored=stored,
            deleted=len(self._delta.deleted),
            seconds=round(time.monotonic() - began, 3),
            packing=self._packing.name,
            whole=self._order.choice.everything,
            base_known=self._delta.base_known,
            failed=len(self._writer.failed),
        )


@contextmanager
def _alone(rack: Rack) -> Iterator[None]:
    os.makedirs(rack.store, mode=0o700, exist_ok=True)
    with alone_in(rack.store):
        yield


def _held_already(
    rack: Rack, note: Optional[restored.Restored], delta: Delta, store: str, *, whole: bool
) -> Optional[Archive]:
    """The newest archive if it was put back on this disk, all of it, and nothing has changed since."""
    newest = rack.newest()
    if newest is None or newest.about.whole != whole:
        return None
    if note is None or not note.exact or note.archive != "{0}/{1}".format(store, newest.name):
        return None
    try:
        held = index.read(newest.directory)
    except (OSError, ValueError):
        return None
    items = {item.path: item for item in delta.items}
    entries = {entry.path: entry for entry in held.entries}
    if set(delta.deleted) != set(held.deleted):
        return None
    for path, item in items.items():
        entry = entries.get(path)
        if item.kind == FOLDER:
            before = entry if entry is not None and entry.kind == FOLDER else item.base
            if before is None or (before.mode, before.uid, before.gid) != (item.mode, item.uid, item.gid):
                return None
        elif entry is None or note.stamps.get(path) != item.stamp:
            return None
    gone = [path for path, entry in entries.items() if path not in items and entry.kind != FOLDER]
    lost = [path for path, entry in entries.items() if path not in items and entry.kind == FOLDER and not entry.base]
    return None if gone or lost else newest


def _protect(rack: Rack, note: Optional[restored.Restored], store: str, run: str) -> None:
    """An archive that is not on this disk, because it could not be put back, must not make room for this one."""
    newest = rack.newest()
    if newest is None or newest.about.container == run:
        return
    if note is None or not note.done or note.left or note.archive != "{0}/{1}".format(store, newest.name):
        rack.hold(newest)
