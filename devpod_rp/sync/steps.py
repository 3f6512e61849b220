"""One action in the words of ``files.apply``, and what became of it; the same for both directions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from devpod_rp.agent.files.entries import FILE, Entry
from devpod_rp.agent.files.stamps import Stamp
from devpod_rp.agent.sync import batch
from devpod_rp.errors import SyncError
from devpod_rp.sync.reconcile import Action
from devpod_rp.sync.unsettled import Answer


class Result(NamedTuple):
    """What became of one action: *code* is None when it was done and acknowledged.

    Codes are the protocol's (changed, no-space, not-permitted, not-found, busy, bad-request, unexpected), "no-copy"
    when the pod has not the content that it was asked to copy, "occupied" for a folder that keeps ignored files, and
    "unstable" when the file changed while it was read. *stamp* is the file's on the pod, when any later write would
    show in it. The new version in *action* is the one that was really carried: a file that came from the pod may be
    newer than the plan.
    """

    action: Action
    code: str | None = None
    message: str = ""
    stamp: Stamp | None = None


class Ledger(Protocol):
    """Keeps account of a plan while it is carried out."""

    def sends(self, actions: Sequence[Action]) -> None:
        """These are about to be sent to the pod."""

    def done(self, results: Sequence[Result], *, sure: bool = True) -> None:
        """Takes what became of actions. What is not *sure* may be lost with the connection until it is settled."""

    def ask_to_settle(self, question: Callable[[], Answer]) -> None:
        """*question* asks the pod to make everything that was done sure. Raises LinkLost."""

    def settle(self, *, wait: bool) -> bool:
        """Take the pod's answers; returns whether it has no question left to answer. Raises LinkLost."""


def item_for(action: Action) -> dict[str, Any]:
    """The action in the words of ``files.apply``."""
    old, new = action.old, action.new
    item: dict[str, Any] = {"path": action.path, "old": None if old is None else _version(old)}
    if new is None:
        return {**item, "do": "remove"}
    if new.kind == "dir":
        return {**item, "do": "dir"}
    if new.kind == "symlink":
        return {**item, "do": "symlink", "target": new.target}
    only_mode = old is not None and old.kind == "file" and old.digest == new.digest
    item.update(digest=new.digest, executable=new.executable, size=new.size, mtime_ns=new.mtime_ns)
    return {**item, "do": "mode" if only_mode else "file"}


def item_for_new_files(actions: Sequence[Action]) -> dict[str, Any]:
    """All of *actions*, which each put a file where nothing is, in one item."""
    entries = [action.new for action in actions if action.new is not None]
    return {
        "do": "files",
        "path": [action.path for action in actions],
        "digest": [entry.digest for entry in entries],
        "size": [entry.size for entry in entries],
        "mtime_ns": [entry.mtime_ns for entry in entries],
        "executable": [entry.executable for entry in entries],
    }


def _version(entry: Entry) -> dict[str, Any]:
    if entry.kind == "file":
        return {"kind": "file", "digest": entry.digest, "executable": entry.executable}
    return {"kind": entry.kind, "target": entry.target} if entry.kind == "symlink" else {"kind": entry.kind}


def answered(actions: Sequence[Action], body: bytes) -> list[Result]:
    """What the pod says became of *actions*, in the answer to ``files.apply``."""
    try:
        failed, stamps = batch.heard(body)
        results = [Result(action, None, "", stamp) for action, stamp in zip(actions, stamps, strict=True)]
    except ValueError as error:
        raise SyncError("The agent on the pod sent an answer that makes no sense.") from error
    for number, given in failed.items():
        if 0 <= number < len(results):
            results[number] = refused(actions[number], given)
    return results


def refused(action: Action, given: dict[str, Any]) -> Result:
    """The result of an action that was answered with a code instead of being done."""
    return Result(action, str(given.get("code", "unexpected")), str(given.get("message", ""))[:500])


def carries_content(action: Action) -> bool:
    """Whether the action has to bring a file's content to the other side."""
    _path, _side, old, new = action
    if new is None or new.kind != FILE:
        return False
    return old is None or old.kind != FILE or old.digest != new.digest


def bytes_of(action: Action) -> int:
    return action.new.size if action.new is not None and carries_content(action) else 0


def groups(actions: Sequence[Action]) -> Iterator[list[Action]]:
    """Split at each change of purpose: clearing the way, folders, content, deletions; each waits for the one before."""
    clearing: list[Action] = []
    folders: list[Action] = []
    content: list[Action] = []
    deleting: list[Action] = []
    for action in actions:
        if action.new is None:
            (deleting if folders or content else clearing).append(action)
        else:
            (folders if action.new.kind == "dir" else content).append(action)
    return (group for group in (clearing, folders, content, deleting) if group)


def batches(actions: Iterable[Action], most_bytes: int, most_items: int) -> Iterator[list[Action]]:
    """Split into runs of at most *most_items* actions and *most_bytes* of content (one larger file is a run)."""
    batch: list[Action] = []
    size = 0
    for action in actions:
        bytes_here = bytes_of(action)
        if batch and (len(batch) >= most_items or size + bytes_here > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(action)
        size += bytes_here
    if batch:
        yield batch
