"""Which environment a command means: a picker on a terminal, an error that names them elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from devpod_rp.cli import ui

if TYPE_CHECKING:
    from devpod_rp.environments import Environment


def environment(name: str | None, *, as_json: bool = False) -> Environment:
    """The environment called *name*, else the one of this folder, else the only one, else the one the person picks.

    Raises:
        UsageError: none fits, or several do and there is nobody to ask.
    """
    from devpod_rp import environments

    try:
        return environments.pick(name, Path.cwd())
    except environments.AmbiguousEnvironment as error:
        if not ui.interactive(as_json):
            raise
        choices = [(f"{each.name}  ({each.status}, {each.folder})", each) for each in error.candidates]
        return ui.choose("Which environment?", choices)
