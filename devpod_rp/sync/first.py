"""What a folder here holds, as work for an empty folder on the pod, told while it is still being looked at."""

from __future__ import annotations

from collections.abc import Iterator

from devpod_rp.sync.here import Here, Look, folders_above
from devpod_rp.sync.reconcile import Action, Side

_AT_A_TIME = 100


def creations(here: Here, look: Look) -> Iterator[list[Action]]:
    """What *look* finds *here*, some at a time, to be created on the pod: folders before what is in them. At least one
    list.

    It is what `reconcile` says of two sides that never met, one of them empty, in every mode.
    """
    while True:
        look.go_on(lambda: look.waiting >= _AT_A_TIME)
        complete = look.complete
        entries, frozen = here.absorb(look), look.unknown
        found = [Action(path, Side.REMOTE, None, entry) for path, entry in entries.items()]
        if frozen:
            found = [each for each in found if frozen.keys().isdisjoint((each.path, *folders_above(each.path)))]
        yield found  # in the order of the walk, which sees a folder before what is in it
        if complete:
            return
