"""What a person, or the flags they gave, want done about files that the end of a pod would destroy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devpod_rp.guard.report import Report


class Act(Enum):
    RESCUE = "rescue"
    DOWNLOAD = "download"
    GIVE_UP = "give up"
    CANCEL = "cancel"


@dataclass(frozen=True)
class Decision:
    """*paths* are those it is about, None for all at risk; *folder* is where a download goes."""

    act: Act
    paths: frozenset[str] | None = None
    folder: Path | None = None

    def wanted(self, report: Report) -> list[str]:
        """The paths of *report* that this is about, most precious first."""
        every = report.paths_to_rescue()
        return every if self.paths is None else [path for path in every if path in self.paths]


Decide = Callable[["Report"], Decision]
"""Asked again after each rescue or download about whatever is then still at risk."""

RESCUE = Decision(Act.RESCUE)
GIVE_UP = Decision(Act.GIVE_UP)
CANCEL = Decision(Act.CANCEL)


def download_to(folder: Path) -> Decision:
    return Decision(Act.DOWNLOAD, folder=folder)
