"""Sending a large file: only what the pod has neither in an older version, nor under another name, nor from an upload
that was cut."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devpod_rp.agent.files import packing
from devpod_rp.agent.files.contents import Contents
from devpod_rp.agent.files.stamps import Stamp
from devpod_rp.agent.sync import batch
from devpod_rp.pod.link import AgentLink, AgentRefused
from devpod_rp.sync.conveyor import Conveyor
from devpod_rp.sync.delta import Piece, Version, gaps, inside, pieces
from devpod_rp.sync.journal import Journal
from devpod_rp.sync.reconcile import Action
from devpod_rp.sync.remote import Destination
from devpod_rp.sync.source import Source, UnstableError, failed_read
from devpod_rp.sync.steps import Result, answered, item_for
from devpod_rp.sync.throttle import Throttle

PART_BYTES = 1 << 20
"""A larger file travels in parts of this size and is never held in memory as a whole."""

_UNDER_WAY = 8
_ABSENT = ("not-found", "changed", "not-permitted")


@dataclass(frozen=True)
class Memory:
    """What is known without looking again.

    *contents* is what the scan has just read, *held* says where the pod holds which of some digests, *stamp* says what
    lstat tells of a path there as long as it is the version we know.
    """

    contents: Contents
    journal: Journal
    held: Callable[[Collection[str]], Mapping[str, str]]
    stamp: Callable[[str], Stamp | None]

    def item_for(self, action: Action) -> dict[str, Any]:
        """The action in the words of ``files.apply``; a large version that goes need not be hashed before it does."""
        item, old = item_for(action), action.old
        stamp = self.stamp(action.path) if old is not None and old.size > PART_BYTES else None
        if stamp is not None:
            item["old"]["stamp"] = stamp.numbers()
        return item


class LargeFile:
    """One *action* of a *plan* on its way. *held* is what the pod held before; *show* is told of bytes that are there,
    sent or not.

    That the result is the version we mean is verified on the pod, block by block, before it appears.
    """

    def __init__(
        self,
        link: AgentLink,
        destination: Destination,
        plan: str,
        memory: Memory,
        action: Action,
        held: Mapping[str, str],
        throttle: Throttle,
        show: Callable[[int], None],
    ) -> None:
        assert action.new is not None
        self._link = link
        self._destination = destination
        self._plan = plan
        self._memory = memory
        self._action = action
        self._new = action.new
        self._held = held
        self._throttle = throttle
        self._show = show
        self._staged = action.new.digest  # named by content, so that a later attempt finds it
        self._packed = packing.is_packed(action.path)
        self._blocks = memory.contents.take_blocks(action.path, action.new.digest)

    def send(self, path: str) -> Result:
        """Bring the file at *path* to the pod.

        Raises:
            LinkLost: the connection died; the parts that came are used by the next attempt.
        """
        try:
            with Source(path, self._new) as source:
                have = self._already_staged(source)
                have += self._copied(source, gaps(have, self._new.size))
                missing = gaps(sorted(have, key=lambda piece: piece.to), self._new.size)
                self._show(sum(piece.size for piece in have))
                with Conveyor(self._stage, self._show, _UNDER_WAY) as conveyor:
                    for offset, size in missing:
                        for at in range(offset, offset + size, PART_BYTES):
                            conveyor.put(self._part, source, at, min(PART_BYTES, offset + size - at))
            result = self._appear()
        except (UnstableError, OSError, AgentRefused) as error:
            result = failed_read(self._action, error)
        if result.code is not None:
            self._ask("files.discard", staged=self._staged)()
        elif self._blocks is not None:
            self._memory.journal.keep_blocks(self._new.digest, self._blocks)
        return result

    def _appear(self) -> Result:
        item = {**self._memory.item_for(self._action), "staged": self._staged}
        answer = self._ask("files.apply", batch.packed([item], []), more_follows=True, plan=self._plan)()
        return answered([self._action], answer.body)[0]

    # What the pod has.

    def _already_staged(self, source: Source) -> list[Piece]:
        known = self._version_there(staged=self._staged)
        if known is None:
            return []
        return [piece for piece in self._in_common(source, known) if piece.to == piece.at]

    def _copied(self, source: Source, missing: Sequence[tuple[int, int]]) -> list[Piece]:
        if not missing:
            return []
        where, held = self._in_hand(source)
        found = inside(missing, held)
        if found:
            raw = json.dumps([[piece.to, piece.at, piece.size] for piece in found]).encode("ascii")
            body, fields = packing.pack(raw, reads_zstd=self._link.hello.zstd)
            replaced = where == self._action.path
            self._ask("files.reuse", body, **fields, path=where, staged=self._staged, replaced=replaced)()
        return found

    def _in_hand(self, source: Source) -> tuple[str, list[Piece]]:
        """A path on the pod, and what of the file it holds."""
        holder = self._held.get(self._new.digest)
        if holder is not None:
            return holder, [Piece(0, 0, self._new.size)]
        path, old = self._action.path, self._action.old
        if old is None or old.kind != "file":
            return path, []
        blocks = self._memory.journal.blocks(old.digest)
        known = Version(old.size, blocks) if blocks is not None else self._version_there(path=path)
        return path, [] if known is None else self._in_common(source, known)

    def _in_common(self, source: Source, known: Version) -> list[Piece]:
        if self._blocks is None:
            self._blocks = source.blocks(self._new.size)
        return pieces(source.stream, Version(self._new.size, self._blocks), known)

    def _version_there(self, **which: str) -> Version | None:
        try:
            frames = list(self._link.stream("files.blocks", b"", **which, **self._destination.fields()))
        except AgentRefused as refusal:
            if refusal.code in _ABSENT:
                return None
            raise
        size = frames[-1].header.get("size")
        if not isinstance(size, int) or size < 0:
            return None
        return Version(size, b"".join(frame.body for frame in frames))

    # What it has not.

    def _part(self, source: Source, offset: int, size: int) -> tuple[int, int, bytes, dict[str, Any]]:
        return (offset, size, *packing.pack(source.read_at(offset, size), self._packed, self._link.hello.zstd))

    def _stage(self, part: tuple[int, int, bytes, dict[str, Any]]) -> Callable[[], int]:
        offset, size, body, fields = part
        self._throttle.take(len(body))
        answer = self._ask("files.stage", body, **fields, staged=self._staged, offset=offset)

        def done() -> int:
            answer()
            return size

        return done

    def _ask(self, op: str, body: bytes = b"", **fields: Any) -> Callable[[], Any]:
        return self._link.ask(op, body, **fields, **self._destination.fields())
