"""Before a folder travels for the first time: what it weighs, and leaving out what should stay here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.errors import ConfigurationError
from devpod_rp.lifecycle.reach import syncing

if TYPE_CHECKING:
    from devpod_rp.lifecycle.market.plan import Plan
    from devpod_rp.sync.preview import Preview

_IGNORE_FILE = ".devpodignore"


def look(plan: Plan) -> Preview | None:
    """What the first synchronisation of *plan* would carry; None if there is none, or it has been.

    Raises:
        ConfigurationError: the folder cannot be read.
    """
    from devpod_rp.sync.preview import preview

    if not plan.spec.sync.enabled or plan.action == "resume":
        return None
    if plan.action != "create" and plan.environment is not None and syncing.synchronised(plan.environment):
        return None
    return preview(plan.folder, plan.spec.sync.ignore)


def leave_out(folder: Path, paths: Sequence[str]) -> Path:
    """Write *paths* into the folder's ``.devpodignore``, below what is there; returns that file.

    Raises:
        ConfigurationError: a name that no ignore file can hold, or the file cannot be read or written.
    """
    from devpod_rp.sync.preview import ignore_line

    file = folder / _IGNORE_FILE
    try:
        before = file.read_bytes() if file.exists() else b""
        lines = "".join(ignore_line(path) + "\n" for path in paths).encode("utf-8")
        write_atomically(
            str(file.resolve()), before + (b"\n" if before and not before.endswith(b"\n") else b"") + lines
        )
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file} cannot be extended: {error}.", hint="write the line yourself.") from error
    return file
