"""Which rule decided about a path, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from devpod_rp.agent.files.entries import Entry
from devpod_rp.sync.reconcile import Mode, same


@dataclass(frozen=True)
class Reason:
    """Why *path* is as it is: the *rule* that decided and what follows from it, and what each side holds."""

    path: str
    rule: str
    outcome: str
    here: str
    pod: str
    last_agreed: str

    def as_json(self) -> dict[str, str]:
        return dict(vars(self))


def why(
    path: str,
    ancestor: Mapping[str, Entry],
    here: Mapping[str, Entry],
    pod: Mapping[str, Entry] | None,
    mode: Mode,
    frozen: Mapping[str, str],
    ignored_by: str | None,
    *,
    names: int = 1,
    connected: bool,
) -> Reason:
    """Explain *path*; *ignored_by* names the ignore line that leaves it out, *frozen* maps unreadable paths to reasons.

    *pod* is what the pod was last seen to hold, None if this process never looked; *names* is how many hard links the
    file has here.
    """
    base, mine = ancestor.get(path), here.get(path)
    theirs = base if pod is None else pod.get(path)
    rule, outcome = _decision(path, base, mine, theirs, mode, frozen, ignored_by)
    if not connected:
        outcome += " (the pod is not connected; this is what it held last)"
    if names > 1:
        outcome += f"; here it is one of {names} names of a file (hard links), on the pod a file of its own"
    return Reason(path, rule, outcome, _shown(mine), _shown(theirs), _shown(base))


def _decision(
    path: str,
    base: Entry | None,
    here: Entry | None,
    there: Entry | None,
    mode: Mode,
    frozen: Mapping[str, str],
    ignored_by: str | None,
) -> tuple[str, str]:
    if ignored_by is not None:
        return f"ignored: {ignored_by}", "takes no part; each side keeps its own"
    for above in _path_and_folders(path):
        if above in frozen:
            return f"frozen: {above}: {frozen[above]}", "nothing is decided about it until that is over"
    if here is None and there is None:
        return "absent", "on neither side"
    if same(here, there):
        return "both sides equal", "nothing to do"
    if same(there, base):
        return "only this side changed", "goes to the pod"
    if mode is Mode.ONE_WAY_REPLICA:
        return f"{mode.value}: the pod mirrors this folder", "the pod's version goes to its trash"
    if same(here, base):
        if mode is Mode.TWO_WAY_SAFE:
            return "only the pod changed", "comes here"
        return f"only the pod changed, and {mode.value} never brings that here", "each side keeps its own; `sync pull`"
    if there is None:
        return "changed here, deleted on the pod: content beats deletion", "goes to the pod"
    if here is None and mode is Mode.TWO_WAY_SAFE:
        return "deleted here, changed on the pod: content beats deletion", "comes here"
    return "changed on both sides since they were last equal", "a conflict: neither is touched; `sync resolve`"


def _path_and_folders(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _shown(entry: Entry | None) -> str:
    if entry is None:
        return "absent"
    if entry.kind == "file":
        return f"file, {entry.size} bytes, {entry.digest[:8] or 'unread'}{', executable' if entry.executable else ''}"
    return f"link to {entry.target}" if entry.kind == "symlink" else "folder"
