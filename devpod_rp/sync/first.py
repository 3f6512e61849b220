"""What a folder here holds, as work for an empty folder on the pod, told while it is still being looked at."""

from __future__ import annotations

from collections.abc import Iterator

from devpod_rp.sync.here import Look, folders_above, portable
from devpod_rp.sync.reconcile import Action, Side

_AT_A_TIME = 100


def creations(look: Look) -> Iterator[list[Action]]:
    """What *look* finds, some at a time, to be created on the pod: folders before what is in them. At least one list.

    It is what `reconcile` says of two sides that never met, one of them empty, in every mode.
    """
    frozen: set[str] = set()
    while True:
        look.go_on(lambda: look.waiting >= _AT_A_TIME)
        complete = look.complete
        entries, unknown = portable(look.news())
        frozen.update(unknown)
        found = [Action(path, Side.REMOTE, None, entry) for path, entry in entries.items()]
        if frozen:
            found = [each for each in found if frozen.isdisjoint((each.path, *folders_above(each.path)))]
        yield found  # in the order of the walk, which sees a folder before what is in it
        if complete:
            return
