"""Which environment a command means when it was not told, or not exactly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from devpod_rp.environments import store
from devpod_rp.environments.record import Environment
from devpod_rp.errors import UsageError


class AmbiguousEnvironment(UsageError):
    """Several environments fit and none was named; *candidates* lets a terminal ask."""

    kind = "ambiguous-environment"

    def __init__(self, candidates: Sequence[Environment]) -> None:
        self.candidates = tuple(candidates)
        names = ", ".join(each.name for each in self.candidates)
        super().__init__(f"Which environment? There are several: {names}.", hint="name one of them.")


def pick(name: str | None, folder: Path) -> Environment:
    """The environment called *name*; without a name the one of *folder* or of its nearest parent, else the only one.

    Raises:
        NoEnvironment: there is none of that name, or none at all.
        AmbiguousEnvironment: several fit equally well.
        CorruptRecord: a record cannot be read.
    """
    if name is not None:
        return store.load(name)
    everything = store.all_environments()
    if not everything:
        raise store.NoEnvironment("There is no environment yet.", hint="devpod-rp up makes one for this folder.")
    here = folder.resolve()
    homes = [(each, Path(each.folder).resolve()) for each in everything]
    for place in (here, *here.parents):
        fitting = [each for each, home in homes if home == place]
        if fitting:
            return _only(fitting)
    return _only(everything)


def _only(candidates: Sequence[Environment]) -> Environment:
    if len(candidates) > 1:
        raise AmbiguousEnvironment(candidates)
    return candidates[0]
