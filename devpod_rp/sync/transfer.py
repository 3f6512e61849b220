"""Carrying a plan's actions to the pod: many small files in a frame, several frames under way, large files apart."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devpod_rp.agent.files import packing
from devpod_rp.agent.files.entries import FILE, FOLDER, Entry
from devpod_rp.agent.sync import batch
from devpod_rp.pod.link import AgentLink
from devpod_rp.progress import Event, Progress
from devpod_rp.sync.conveyor import Conveyor
from devpod_rp.sync.large import PART_BYTES, LargeFile, Memory
from devpod_rp.sync.reconcile import Action
from devpod_rp.sync.remote import Destination
from devpod_rp.sync.source import UnstableError, failed_read, read_exactly
from devpod_rp.sync.steps import (
    Ledger,
    Result,
    answered,
    batches,
    bytes_of,
    carries_content,
    groups,
    item_for_new_files,
)
from devpod_rp.sync.throttle import Throttle

BATCH_BYTES = 1 << 20
"""Content of one batch before compression; an edit waits for at most one of them."""

BATCH_ITEMS = 1024

_WORTH_A_COPY = 512
"""Bytes; below it the path to copy from costs as much as the content."""

_UNDER_WAY, _UNSENT = 40, 16
"""Batches: so many that the folder here is looked at further while a pod that has just started still loads its
program, but no more of them in memory than needed for that."""

_SETTLE_SECONDS = 5.0
_MOST_UNSETTLED = 10_000
"""Of so many that the pod's disk may not have, and as many again, the versions before are kept in memory."""


class Upload:
    """One plan on its way to the pod, of which *ledger* is told in the calling thread.

    What was carried out is done as soon as it is acknowledged, and sure once the pod has settled it: the last of it
    later than the call returns. Raises LinkLost when the connection dies: what was sure by then is done, everything
    else may or may not be.
    """

    def __init__(
        self,
        link: AgentLink,
        destination: Destination,
        local_root: Path,
        ledger: Ledger,
        memory: Memory,
        progress: Progress,
        throttle: Throttle,
    ) -> None:
        self._link = link
        self._destination = destination
        self._root = str(local_root)
        self._ledger = ledger
        self._progress = progress
        self._plan = uuid.uuid4().hex
        self._bytes_done = self._bytes_total = self._files_done = self._files_total = 0
        self._memory = memory
        self._throttle = throttle
        self._unsettled = 0
        self._held: Mapping[str, str] = {}
        self._not_there: list[Action] = []
        self._settle_at = time.monotonic() + _SETTLE_SECONDS

    def run(self, actions: Sequence[Action]) -> None:
        """Carry out *actions*, which are in an order that works (see reconcile.Plan)."""
        self._bytes_total = sum(bytes_of(action) for action in actions)
        self._files_total = sum(carries_content(action) for action in actions)
        if self._bytes_total <= BATCH_BYTES and len(actions) <= BATCH_ITEMS:
            self._ledger.sends(actions)
            # Looking for copies costs more than so little content.
            self._ledger.done(self._send(self._prepared(actions, copies=False), more_follows=False)())
            return
        self._held = self._memory.held(
            {action.new.digest for action in actions if action.new and carries_content(action)}
        )
        try:
            # Folders go ahead of the files in them, deletions follow everything; the pod keeps the order.
            for group in groups(actions):
                self._run_group(group)
        finally:
            if self._link.alive:
                self._ask_to_settle()

    def run_found(self, found: Iterable[Sequence[Action]]) -> None:
        """Carry out creations while more of them are *found*; folders come before what is in them."""
        large: list[Action] = []

        def small() -> Iterator[Action]:
            for actions in found:
                for action in actions:
                    size = bytes_of(action)
                    self._bytes_total += size
                    self._files_total += action.new is not None and action.new.kind == FILE
                    if size > PART_BYTES:
                        large.append(action)
                    else:
                        yield action

        try:
            self._run_small(small(), copies=False)
            for action in large:
                self._run_large(action)
        finally:
            if self._link.alive:
                self._ask_to_settle()

    def _run_group(self, group: Sequence[Action]) -> None:
        self._run_small([action for action in group if bytes_of(action) <= PART_BYTES])
        if self._not_there:
            again, self._not_there = self._not_there, []
            self._run_small(again, copies=False)
        for action in group:
            if bytes_of(action) > PART_BYTES:
                self._run_large(action)

    def _run_large(self, action: Action) -> None:
        self._ledger.sends([action])
        large = LargeFile(
            self._link,
            self._destination,
            self._plan,
            self._memory,
            action,
            self._held,
            self._throttle,
            self._show_bytes,
        )
        self._take([large.send(f"{self._root}/{action.path}")])

    def _run_small(self, actions: Iterable[Action], copies: bool = True) -> None:
        with Conveyor(self._send, self._take, _UNDER_WAY, _UNSENT) as conveyor:
            for some in batches(actions, BATCH_BYTES, BATCH_ITEMS):
                self._ledger.sends(some)
                conveyor.put(self._prepared, some, copies)

    # Small files.

    def _prepared(self, actions: Iterable[Action], copies: bool) -> _Batch:
        """Read and pack a batch; what cannot be read as planned stays here and is told so.

        With *copies* the pod copies what it has at another path.
        """
        ready: list[Action] = []
        items: list[dict[str, Any]] = []
        contents: list[bytes] = []
        new_files: list[Action] = []
        contents_of_new: list[bytes] = []
        failed: list[Result] = []
        for action in actions:
            path, _side, old, new = action
            if old is None and new is not None and new.kind == FOLDER:
                if not items or items[-1]["do"] != "dirs":
                    items.append({"do": "dirs", "path": []})
                items[-1]["path"].append(path)
                ready.append(action)
                continue
            there = self._copy_of(action) if copies else None
            if there is None and new is not None and carries_content(action):
                try:
                    content = self._content_of(path, new)
                except (UnstableError, OSError) as error:
                    failed.append(failed_read(action, error))
                    continue
                if old is None:
                    new_files.append(action)
                    contents_of_new.append(content)
                    continue
                contents.append(content)
            item = self._memory.item_for(action)
            if there is not None:
                item["copy"] = there
            ready.append(action)
            items.append(item)
        if new_files:
            # Behind the others, of which some may be the folders that they are in.
            items.append(item_for_new_files(new_files))
        ready += new_files
        incompressible = all(packing.is_packed(action.path) for action in ready if carries_content(action))
        return _Batch(ready, failed, *self._packed(batch.packed(items, contents + contents_of_new), incompressible))

    def _content_of(self, path: str, version: Entry) -> bytes:
        held = self._memory.contents.take(path, version.digest)
        return read_exactly(f"{self._root}/{path}", version) if held is None else held

    def _send(self, prepared: _Batch, more_follows: bool = True) -> Callable[[], list[Result]]:
        if not prepared.actions:
            return lambda: prepared.failed
        self._throttle.take(len(prepared.body))
        fields = {**prepared.fields, **self._destination.fields(), "more_follows": more_follows, "plan": self._plan}
        answer = self._link.ask("files.apply", prepared.body, **fields)
        actions, failed = prepared.actions, prepared.failed  # without the body, which is not needed any more
        return lambda: failed + answered(actions, answer().body)

    def _copy_of(self, action: Action) -> str | None:
        new = action.new
        if new is None or not carries_content(action) or new.size < _WORTH_A_COPY:
            return None
        return self._held.get(new.digest)

    def _packed(self, raw: bytes, incompressible: bool = False) -> tuple[bytes, dict[str, Any]]:
        return packing.pack(raw, incompressible, self._link.hello.zstd)

    def _take(self, results: list[Result]) -> None:
        if any(result.code == "no-copy" for result in results):
            self._not_there += [result.action for result in results if result.code == "no-copy"]
            results = [result for result in results if result.code != "no-copy"]
        self._ledger.done(results, sure=False)
        self._unsettled += len(results)
        sizes = [action.new.size for action, *_ in results if action.new is not None and carries_content(action)]
        self._files_done += len(sizes)
        self._bytes_done += sum(size for size in sizes if size <= PART_BYTES)
        many = self._unsettled > _MOST_UNSETTLED
        if many or time.monotonic() >= self._settle_at:
            self._ledger.settle(wait=many)
            self._ask_to_settle()
        self._show()

    def _ask_to_settle(self) -> None:
        """For what was acknowledged until now, which is nothing if all of it is settled."""
        if self._unsettled:
            self._ledger.ask_to_settle(lambda: self._link.ask("files.settle", **self._destination.fields()))
        self._unsettled = 0
        self._settle_at = time.monotonic() + _SETTLE_SECONDS

    def _show_bytes(self, count: int) -> None:
        self._bytes_done += count
        self._show()

    def _show(self) -> None:
        if self._files_total:
            message = f"{min(self._files_done, self._files_total)} of {self._files_total} files"
            self._progress(Event("upload", message, self._bytes_done, self._bytes_total, "bytes"))


@dataclass(frozen=True)
class _Batch:
    """Actions as they go over the wire, and what became of those that cannot."""

    actions: list[Action]
    failed: list[Result]
    body: bytes
    fields: dict[str, Any]
