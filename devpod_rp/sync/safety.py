"""When not to believe what a scan seems to say: the brakes between a plan and the pod. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from devpod_rp.agent.files.entries import Entry
from devpod_rp.sync.reconcile import Action

FEW_FILES = 20
LARGE_SHARE = 0.25
LARGE_FOLDER = 100


def unexpected_deletions(
    actions: Sequence[Action], ancestor: Mapping[str, Entry], observed: Collection[str], few: int = FEW_FILES
) -> tuple[str, ...]:
    """The files a plan would delete, if they are too many to be believed; otherwise nothing.

    Too many is more than *few* files and more than a quarter of all, or all of a folder at the top that held more than
    100. Deletions that were seen happening
    (*observed* names the path or a folder above it) do not count: a user who deletes a folder means it, a scan that
    suddenly misses half a tree may look at an unmounted disk. Nor do those of files whose content the same plan brings
    under another name: a disk that is unmounted takes names and contents.
    """
    seen = frozenset(observed)
    arriving = Counter(_content(action.new) for action in actions if action.new is not None and action.old is None)
    deleted = tuple(
        action.path
        for action in actions
        if action.new is None
        and action.old is not None
        and action.old.kind != "dir"
        and not _was_seen(action.path, seen)
        and not _moved(action.old, arriving)
    )
    if len(deleted) <= few:
        return ()
    files = [path for path, entry in ancestor.items() if entry.kind != "dir"]
    if len(deleted) > LARGE_SHARE * len(files):
        return deleted
    held, gone = Counter(map(_top, files)), Counter(map(_top, deleted))
    return deleted if any(gone[top] == held[top] > LARGE_FOLDER for top in gone if top) else ()


def was_emptied(ancestor: Collection[str], now: Collection[str]) -> bool:
    """Whether a side that held several names now holds none: far more often an accident than a wish."""
    return not now and len(ancestor) >= 2


def _moved(old: Entry, arriving: Counter[tuple[str, str, str]]) -> bool:
    """Whether one that arrives is *old* under another name; each is so once."""
    content = _content(old)
    arriving[content] -= 1
    return arriving[content] >= 0


def _content(entry: Entry) -> tuple[str, str, str]:
    return entry.kind, entry.digest, entry.target


def _was_seen(path: str, seen: frozenset[str]) -> bool:
    while path:
        if path in seen:
            return True
        path = path.rpartition("/")[0]
    return False


def _top(path: str) -> str:
    """The folder at the top that holds *path*, "" for a file at the top."""
    return path.partition("/")[0] if "/" in path else ""
