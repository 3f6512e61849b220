"""What every editor of the registry is and answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Opened:
    """What came of asking an editor to open a folder.

    *launched* means that the editor's command accepted the request, which is all that can be known. Otherwise the
    user may follow *deep_link*; *problem* says why the command failed, or is None when the editor was not found.
    """

    launched: bool
    command: tuple[str, ...] | None
    deep_link: str
    problem: str | None = None


@dataclass(frozen=True)
class Editor:
    """An editor by its *name* on the command line; *open_folder* takes an SSH host alias and an absolute path there."""

    name: str
    title: str
    open_folder: Callable[[str, str], Opened]
