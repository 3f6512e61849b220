"""Every editor we can open, by the name given to ``open --ide``."""

from __future__ import annotations

from devpod_rp.editors.model import Editor
from devpod_rp.editors.others import jetbrains, zed
from devpod_rp.editors.programs import Machine
from devpod_rp.editors.vscode import family

NAMES = ("code", "code-insiders", "cursor", "windsurf", "codium", "zed", "jetbrains")
"""Those on this machine."""
BROWSER_NAMES = ("browser", "jupyter")
"""Those on the pod, which a browser shows; see ``services.py``."""


def editors(machine: Machine | None = None) -> dict[str, Editor]:
    """Every desktop editor by name, to be found on *machine* (this one if None)."""
    here = machine or Machine()
    found: tuple[Editor, ...] = (*family(here), zed(here), jetbrains(here))
    return {each.name: each for each in found}
