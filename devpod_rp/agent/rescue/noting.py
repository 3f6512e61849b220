"""Noting what is installed whenever somebody looks at the container disk, so that the note is fresh when a pod ends."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Iterable, List, NamedTuple, Optional, Sequence

from devpod_rp.agent.exposure.packages import Package
from devpod_rp.agent.exposure.recipes import Recipe, parsed
from devpod_rp.agent.exposure.repositories import Repository
from devpod_rp.agent.replay import note as notes


class Noting(NamedTuple):
    """The environment for which is noted, and the table by which downloads are recognised."""

    name: str
    recipes: List[Recipe]

    @classmethod
    def from_wire(cls, document: Any) -> "Optional[Noting]":
        """None stays None. Raises re.error, KeyError, TypeError or ValueError for what is no such thing."""
        return None if document is None else cls(str(document["name"]), parsed(document["recipes"]))


def note(
    noting: Optional[Noting],
    volume: Optional[str],
    found: Sequence[Package],
    clones: Optional[Iterable[Repository]],
    *,
    root: str = "/",
    proc: Path = Path("/proc"),
) -> None:
    """Note that *found* and *clones* are what comes back with a command; *clones* None: nobody looked for them.

    A volume that does not take the note is told in our log and no more: packages are nobody's work.
    """
    if volume is None or noting is None:
        return
    everything = [*found, *(each.package for each in clones or () if each.package is not None)]
    try:
        notes.keep(volume, noting.name, everything, unseen=("git",) if clones is None else (), root=root, proc=proc)
    except (OSError, ValueError) as error:
        sys.stderr.write("what is installed could not be noted: {0}\n".format(error))
