"""Carrying a plan's actions to the pod: many small files in a frame, large ones in parts, several frames under way."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devpod_rp.agent import batch, packing
from devpod_rp.agent.reuse import DIGEST_BYTES
from devpod_rp.agent.tree import Contents, Entry, Stamp
from devpod_rp.pod.link import AgentLink, AgentRefused
from devpod_rp.progress import Event, Progress
from devpod_rp.sync.conveyor import Conveyor
from devpod_rp.sync.delta import Known, Piece, gaps, pieces
from devpod_rp.sync.reconcile import Action
from devpod_rp.sync.remote import Destination
from devpod_rp.sync.steps import Result, batches, bytes_of, carries_content, groups, item_for, refused

BATCH_BYTES = 512 << 10
"""Content of one batch before compression; an edit waits for at most one of them."""

BATCH_ITEMS = 512
PART_BYTES = 1 << 20
"""A larger file travels in parts of this size and is never held in memory as a whole."""

_UNDER_WAY = 16
_PARTS_UNDER_WAY = 8
_SETTLE_SECONDS = 5.0


class UnstableError(Exception):
    """The local file is not, or no longer, what the plan is about; the next cycle looks again."""


class Upload:
    """One plan on its way to the pod.

    *before* is told of actions that are about to be sent. *contents* holds what the scan has just read, *holder* names
    a path on the pod that holds the same content as an entry. Results come back through *report*, in the calling
    thread, as frames are acknowledged. Raises LinkLost when the connection dies: everything reported until then is
    done, everything else may or may not be.
    """

    def __init__(
        self,
        link: AgentLink,
        destination: Destination,
        local_root: Path,
        report: Callable[[list[Result]], None],
        progress: Progress,
        before: Callable[[Sequence[Action]], None],
        contents: Contents,
        holder: Callable[[Entry], str | None] = lambda _entry: None,
    ) -> None:
        self._link = link
        self._holder = holder
        self._destination = destination
        self._root = str(local_root)
        self._report = report
        self._progress = progress
        self._bytes_done = self._bytes_total = self._files_done = self._files_total = 0
        self._before = before
        self._contents = contents
        self._unsettled: list[Result] = []
        self._settle_at = time.monotonic() + _SETTLE_SECONDS

    def run(self, actions: Sequence[Action]) -> None:
        """Carry out *actions*, which are in an order that works (see reconcile.Plan)."""
        self._bytes_total = sum(bytes_of(action) for action in actions)
        self._files_total = sum(carries_content(action) for action in actions)
        if self._bytes_total <= BATCH_BYTES and len(actions) <= BATCH_ITEMS:
            self._before(actions)
            self._report(self._send(self._prepared(actions), more_follows=False)())
            return
        try:
            # Folders go ahead of the files in them, deletions follow everything; the pod keeps the order.
            for group in groups(actions):
                self._run_group(group)
        finally:
            if self._link.alive:
                self._settle()

    def _run_group(self, group: Sequence[Action]) -> None:
        with Conveyor(self._send, self._take, _UNDER_WAY) as conveyor:
            small = [action for action in group if bytes_of(action) <= PART_BYTES]
            for some in batches(small, BATCH_BYTES, BATCH_ITEMS):
                self._before(some)
                conveyor.put(self._prepared, some)
        for action in group:
            if bytes_of(action) > PART_BYTES:
                self._before([action])
                self._send_large(action)

    # Small files.

    def _prepared(self, actions: Iterable[Action]) -> _Batch:
        """Read and pack a batch; what cannot be read as planned stays here and is told so."""
        ready: list[Action] = []
        items: list[dict[str, Any]] = []
        contents: list[bytes] = []
        results: list[Result] = []
        for action in actions:
            item = item_for(action)
            if item["do"] == "file" and action.new is not None:
                try:
                    content = self._contents.take(action.path, action.new.digest)
                    contents.append(
                        read_exactly(f"{self._root}/{action.path}", action.new) if content is None else content
                    )
                except (UnstableError, OSError) as error:
                    results.append(failed_read(action, error))
                    continue
            ready.append(action)
            items.append(item)
        incompressible = all(packing.is_packed(action.path) for action in ready if carries_content(action))
        return _Batch(ready, results, *self._packed(batch.packed(items, contents), incompressible))

    def _send(self, prepared: _Batch, more_follows: bool = True) -> Callable[[], list[Result]]:
        if not prepared.actions:
            return lambda: prepared.failed
        fields = {**prepared.fields, **self._destination.fields(), "more_follows": more_follows}
        answer = self._link.ask("files.apply", prepared.body, **fields)

        def results() -> list[Result]:
            given: list[dict[str, Any]] = json.loads(answer().body)
            return prepared.failed + [_result(*pair) for pair in zip(prepared.actions, given, strict=True)]

        return results

    def _packed(self, raw: bytes, incompressible: bool = False) -> tuple[bytes, dict[str, Any]]:
        return packing.pack(raw, incompressible, self._link.hello.zstd)

    def _take(self, results: list[Result]) -> None:
        self._files_done += sum(carries_content(result.action) for result in results)
        self._bytes_done += sum(bytes_of(result.action) for result in results if bytes_of(result.action) <= PART_BYTES)
        self._unsettled.extend(results)
        if time.monotonic() >= self._settle_at:
            self._settle()
        self._show()

    def _settle(self) -> None:
        """Report what was done, once it would survive a power cut on the pod."""
        done, self._unsettled = self._unsettled, []
        if done:
            self._link.call("files.settle", **self._destination.fields())
            self._report(done)
        self._settle_at = time.monotonic() + _SETTLE_SECONDS

    def _show(self) -> None:
        if self._files_total:
            message = f"{min(self._files_done, self._files_total)} of {self._files_total} files"
            self._progress(Event("upload", message, self._bytes_done, self._bytes_total, "bytes"))

    # Large files.

    def _send_large(self, action: Action) -> None:
        """Send what the pod has neither in an older version, nor under another name, nor from an upload that was cut.

        That the result is the version we mean is verified there, over all of it, before it appears.
        """
        assert action.new is not None
        new, staged = action.new, action.new.digest  # named by content, so that a later attempt finds it
        try:
            with _opened(f"{self._root}/{action.path}", new) as stream:
                have = self._already_staged(stream, new, staged)
                if not have:
                    have = self._copied(stream, action, new, staged)
                self._show_bytes(sum(piece.size for piece in have))
                with Conveyor(self._stage, self._show_bytes, _PARTS_UNDER_WAY) as conveyor:
                    for offset, size in gaps(have, new.size):
                        for at in range(offset, offset + size, PART_BYTES):
                            conveyor.put(self._part, stream, action, at, min(PART_BYTES, offset + size - at))
            whole = _Batch([action], [], batch.packed([{**item_for(action), "staged": staged}], []), {})
            (result,) = self._send(whole)()
            if result.code is not None:
                self._discard(staged)
            self._take([result])
        except (UnstableError, OSError, AgentRefused) as error:
            self._discard(staged)
            self._take([failed_read(action, error)])

    def _already_staged(self, stream: io.BufferedReader, new: Entry, staged: str) -> list[Piece]:
        known = self._known(staged=staged)
        if known is None:
            return []
        return [piece for piece in pieces(stream, new.size, known) if piece.to == piece.at]

    def _copied(self, stream: io.BufferedReader, action: Action, new: Entry, staged: str) -> list[Piece]:
        holder = self._holder(new)
        source = holder or (action.path if action.old is not None and action.old.kind == "file" else None)
        known = self._known(path=source) if source is not None else None
        if known is None:
            return []
        found = pieces(stream, new.size, known)
        if found:
            raw = json.dumps([[piece.to, piece.at, piece.size] for piece in found]).encode("ascii")
            body, fields = self._packed(raw)
            fields.update(self._destination.fields(), path=source, staged=staged)
            self._link.call("files.reuse", body, **fields)
        return found

    def _known(self, **which: str) -> Known | None:
        try:
            frames = list(self._link.stream("files.blocks", b"", **which, **self._destination.fields()))
        except AgentRefused as refusal:
            if refusal.code in ("not-found", "changed", "not-permitted"):
                return None
            raise
        raw = b"".join(frame.body for frame in frames)
        size = frames[-1].header.get("size")
        if not isinstance(size, int) or size < 0:
            return None
        digests = [raw[start : start + DIGEST_BYTES] for start in range(0, len(raw), DIGEST_BYTES)]
        return Known(size, digests)

    def _discard(self, staged: str) -> None:
        self._link.call("files.discard", staged=staged, **self._destination.fields())

    def _show_bytes(self, count: int) -> None:
        self._bytes_done += count
        self._show()

    def _part(self, stream: io.BufferedReader, action: Action, offset: int, size: int) -> _Part:
        assert action.new is not None
        data = os.pread(stream.fileno(), size, offset)
        return _Part(action.new.digest, offset, size, *self._packed(data, packing.is_packed(action.path)))

    def _stage(self, part: _Part) -> Callable[[], int]:
        fields = {**part.fields, **self._destination.fields(), "staged": part.staged, "offset": part.offset}
        answer = self._link.ask("files.stage", part.body, **fields)

        def size() -> int:
            answer()
            return part.size

        return size


@dataclass(frozen=True)
class _Batch:
    """Actions as they go over the wire, and what became of those that cannot."""

    actions: list[Action]
    failed: list[Result]
    body: bytes
    fields: dict[str, Any]


@dataclass(frozen=True)
class _Part:
    staged: str
    offset: int
    size: int
    body: bytes
    fields: dict[str, Any]


def read_exactly(path: str, entry: Entry) -> bytes:
    """The content of *path* if it is the version *entry* speaks of; raises UnstableError if it is another by now."""
    with _opened(path, entry) as stream:
        data = stream.read(entry.size + 1)
    if hashlib.blake2b(data, digest_size=16).hexdigest() != entry.digest:
        raise UnstableError
    return data


def _opened(path: str, entry: Entry) -> io.BufferedReader:
    """*path* open for reading, if it still has the size of *entry*."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    stream = os.fdopen(os.open(path, flags), "rb")
    if os.fstat(stream.fileno()).st_size != entry.size:
        stream.close()
        raise UnstableError
    return stream


def failed_read(action: Action, error: Exception) -> Result:
    if isinstance(error, AgentRefused):
        return Result(action, error.code, error.message)
    gone = isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
    if gone or isinstance(error, UnstableError):
        return Result(action, "unstable", "it is being written here; it follows when it is complete")
    return Result(
        action, "not-permitted", f"cannot be read here: {error.strerror if isinstance(error, OSError) else error}"
    )


def _result(action: Action, given: dict[str, Any]) -> Result:
    if given.get("ok") is True:
        stamp = given.get("stamp")
        return Result(action, stamp=Stamp(*stamp[:5]) if stamp and stamp[5] else None)
    return refused(action, given)
