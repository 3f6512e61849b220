"""Every editor we can open, by the name given to ``open --ide``."""

from __future__ import annotations

from devpod_rp.editors.model import Editor
from devpod_rp.editors.vscode import VSCODE
from devpod_rp.errors import UsageError

EDITORS: dict[str, Editor] = {each.name: each for each in (VSCODE,)}


def editor(name: str) -> Editor:
    """The editor called *name*.

    Raises:
        UsageError: there is none; the error lists those we know.
    """
    try:
        return EDITORS[name]
    except KeyError:
        raise UsageError(f"{name!r} is no editor we can open.", hint=f"known: {', '.join(sorted(EDITORS))}") from None
