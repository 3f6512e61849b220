"""Carrying a plan's actions from the pod to the folder here: fetched, verified, staged, then renamed into place."""

from __future__ import annotations

import errno
import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from devpod_rp.agent.files import packing
from devpod_rp.agent.files.content import Data, Growing
from devpod_rp.agent.files.entries import Entry
from devpod_rp.agent.files.stamps import Stamp
from devpod_rp.agent.sync import batch
from devpod_rp.agent.sync.fetch import LARGEST_WHOLE, MAX_SLICE
from devpod_rp.agent.wire import Frame, Refusal
from devpod_rp.errors import SyncError
from devpod_rp.pod.link import AgentLink, AgentRefused
from devpod_rp.progress import Event, Progress
from devpod_rp.sync.local import LocalFolder
from devpod_rp.sync.reconcile import Action
from devpod_rp.sync.remote import Destination
from devpod_rp.sync.steps import Ledger, Result, batches, bytes_of, carries_content, groups, item_for, refused
from devpod_rp.sync.throttle import Throttle

_RUN_BYTES = 16 << 20
_RUN_FILES = 2000
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Download:
    """One plan on its way here.

    *ledger* is told what was done. Raises LinkLost when the connection dies: everything told until then is done,
    nothing else is.
    """

    def __init__(
        self,
        link: AgentLink,
        destination: Destination,
        folder: LocalFolder,
        ledger: Ledger,
        progress: Progress,
        throttle: Throttle,
    ) -> None:
        self._throttle = throttle
        self._link = link
        self._destination = destination
        self._folder = folder
        self._ledger = ledger
        self._progress = progress
        self._plan = uuid.uuid4().hex
        self._files_done = self._files_total = self._bytes_done = self._bytes_total = 0

    def run(self, actions: Sequence[Action]) -> None:
        """Carry out *actions*, which are in an order that works (see reconcile.Plan)."""
        self._files_total = sum(carries_content(action) for action in actions)
        self._bytes_total = sum(bytes_of(action) for action in actions)
        for group in groups(actions):
            plain = [action for action in group if not carries_content(action)]
            for some in batches(plain, _RUN_BYTES, _RUN_FILES):
                self._apply(some, [item_for(action) for action in some], [None] * len(some), b"")
            content = [action for action in group if carries_content(action)]
            small = [action for action in content if bytes_of(action) <= LARGEST_WHOLE]
            for some in batches(small, self._throttle.portion(_RUN_BYTES), _RUN_FILES):
                self._fetch(some)
            for action in content:
                if bytes_of(action) > LARGEST_WHOLE:
                    self._fetch_large(action)

    # Small files: many in one request, applied as the frames come.

    def _fetch(self, actions: list[Action]) -> None:
        wanted = {action.path: action for action in actions}
        body, fields = packing.pack(json.dumps(list(wanted)).encode("ascii"))
        fields.update(self._destination.fields(), reads_zstd=packing.ZSTD is not None)
        for frame in self._link.stream("files.fetch", body, **fields):
            self._throttle.take(len(frame.body))
            rows, content = _unpacked(frame)
            ready: list[Action] = []
            stamps: list[Stamp | None] = []
            failed: list[Result] = []
            for row in rows:
                action = wanted.pop(str(row.get("path")), None)
                if action is None:
                    raise _nonsense()
                if row.get("ok") is True:
                    found, settled = _stamp(row)
                    executable = self._executable(action, found)
                    new = Entry("file", found.size, executable, str(row["digest"]), "", found.mtime_ns)
                    ready.append(Action(action.path, action.side, action.old, new))
                    stamps.append(found if settled else None)
                else:
                    failed.append(refused(action, row))
            if sum(action.new.size for action in ready if action.new) != len(content):
                raise _nonsense()
            # A version that differs from ours in its executable bit only came with its content all the same.
            self._apply(ready, [{**item_for(action), "do": "file"} for action in ready], stamps, content)
            self._ledger.done(failed)
        if wanted:
            raise _nonsense()

    def _executable(self, action: Action, found: Stamp | None) -> bool:
        """The bit of what was found, or, where the pod's disk has none, the one that was planned."""
        if self._destination.abilities.keeps_executable:
            return found is not None and self._destination.executable(found.mode)
        return action.new is not None and action.new.executable

    def _apply(
        self, actions: list[Action], items: list[dict[str, Any]], stamps: Sequence[Stamp | None], content: Data
    ) -> None:
        if not actions:
            return
        try:
            answers = self._folder.apply(items, content, durable=len(actions) <= 1, plan=self._plan)
        except Refusal as refusal:
            answers = [{"ok": False, "code": refusal.code, "message": refusal.message}] * len(actions)
        self._files_done += sum(carries_content(action) for action in actions)
        self._bytes_done += len(content)
        self._show()
        self._ledger.done(
            [
                Result(action, stamp=stamp) if answer.get("ok") is True else refused(action, answer)
                for action, stamp, answer in zip(actions, stamps, answers, strict=True)
            ]
        )

    # Large files: slice by slice, into a file of ours, checked to be one version from the first byte to the last.

    def _fetch_large(self, action: Action) -> None:
        staged = uuid.uuid4().hex
        part = self._folder.part(staged)
        try:
            new, stamp = read_version(
                self._link, self._destination, action.path, None, self._writer(staged), self._throttle
            )
            new = new._replace(executable=new.executable or self._executable(action, stamp))
            done = Action(action.path, action.side, action.old, new)
            item = {**item_for(done), "do": "file", "staged": staged}
            (answer,) = self._folder.apply([item], b"", durable=True, plan=self._plan)
            self._files_done += 1
            self._ledger.done([Result(done, stamp=stamp) if answer.get("ok") is True else refused(done, answer)])
        except AgentRefused as refusal:
            self._ledger.done([Result(action, refusal.code, refusal.message)])
        except OSError as error:
            code = "no-space" if error.errno in _FULL else "not-permitted"
            self._ledger.done([Result(action, code, f"cannot be written here: {error.strerror}")])
        finally:
            part.unlink(missing_ok=True)

    def _writer(self, staged: str) -> Callable[[int, bytes], None]:
        def write(offset: int, data: bytes) -> None:
            self._folder.write_part(staged, offset, data)
            self._bytes_done += len(data)
            self._show()

        return write

    def _show(self) -> None:
        if self._files_total:
            message = f"{min(self._files_done, self._files_total)} of {self._files_total} files"
            self._progress(Event("download", message, self._bytes_done, self._bytes_total, "bytes"))


def read_version(
    link: AgentLink,
    destination: Destination,
    path: str,
    moment: str | None,
    write: Callable[[int, bytes], None],
    throttle: Throttle,
) -> tuple[Entry, Stamp | None]:
    """Read a file of the pod through *write* (offset, data): the present version, or that in the trash at *moment*.

    Returns what was read, and its stamp if any later write would show in it.

    Raises:
        AgentRefused: it is not there, or was written meanwhile ("busy").
    """
    growing = Growing()
    where = destination.fields() if moment is None else {**destination.fields(), "moment": moment}
    first: Stamp | None = None
    slice_bytes = throttle.portion(MAX_SLICE)
    offset = 0
    while True:
        frame = link.call(
            "files.read", path=path, offset=offset, size=slice_bytes, reads_zstd=packing.ZSTD is not None, **where
        )
        throttle.take(len(frame.body))
        data = _data(frame)
        found, settled = _stamp(frame.header)
        if first is not None and found != first:
            raise AgentRefused("busy", "it is being written on the pod")
        first = found
        if offset + len(data) > found.size or (not data and offset < found.size):
            raise _nonsense()
        growing.add(data)
        write(offset, data)
        offset += len(data)
        if offset == found.size:
            executable = destination.executable(found.mode)
            entry = Entry("file", found.size, executable, growing.digest(), "", found.mtime_ns)
            return entry, found if settled else None


def _unpacked(frame: Frame) -> tuple[list[dict[str, Any]], memoryview]:
    try:
        return batch.split(packing.unpack(frame.body, frame.header, batch.MAX_BYTES))
    except (Refusal, ValueError) as error:
        raise _nonsense() from error


def _data(frame: Frame) -> bytes:
    try:
        return packing.unpack(frame.body, frame.header, MAX_SLICE)
    except ValueError as error:
        raise _nonsense() from error


def _stamp(fields: dict[str, Any]) -> tuple[Stamp, bool]:
    try:
        *numbers, settled = fields["stamp"]
        return Stamp.checked(numbers), bool(settled)
    except (KeyError, TypeError, ValueError) as error:
        raise _nonsense() from error


def _nonsense() -> SyncError:
    return SyncError("The agent on the pod sent an answer that makes no sense; nothing was changed.")
