"""Visual Studio Code through its Remote-SSH extension, which connects with the system's ``ssh`` by host alias."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from devpod_rp.editors.model import Editor, Opened
from devpod_rp.errors import UsageError

# `code` hands the request to a running window or starts one in the background; it does not wait for the connection.
_LAUNCH_SECONDS = 60


def open_folder(
    host_alias: str,
    remote_path: str,
    *,
    which: Callable[[str], str | None] = shutil.which,
    run: Callable[..., subprocess.CompletedProcess[Any]] = subprocess.run,
) -> Opened:
    """Open *remote_path* of *host_alias* in a window of VS Code, or say which link does.

    Raises:
        UsageError: *remote_path* is not absolute.
    """
    location = _location(host_alias, remote_path)
    deep_link = f"vscode://vscode-remote/{location}?windowId=_blank"
    program = which("code")
    if program is None:
        return Opened(launched=False, command=None, deep_link=deep_link)
    # A URI, because `--remote HOST PATH` takes a folder with a dot in its name for a file; one argument with "=",
    # because code.cmd on Windows splits it otherwise.
    command = (program, f"--folder-uri=vscode-remote://{location}")
    try:
        ended = run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LAUNCH_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Opened(launched=False, command=command, deep_link=deep_link, problem=str(error))
    if ended.returncode != 0:
        return Opened(launched=False, command=command, deep_link=deep_link, problem=_last_line(ended))
    return Opened(launched=True, command=command, deep_link=deep_link)


VSCODE = Editor("vscode", "Visual Studio Code", open_folder)


def _location(host_alias: str, remote_path: str) -> str:
    if not remote_path.startswith("/"):
        raise UsageError(f"{remote_path!r} is not an absolute path on {host_alias}.")
    # A bare ":" would make VS Code read ":12" at the end of a link as a line number.
    return f"ssh-remote+{host_alias}{quote(remote_path.encode('utf-8', 'surrogateescape'), safe='/')}"


def _last_line(ended: subprocess.CompletedProcess[Any]) -> str:
    said = (ended.stderr or b"").decode("utf-8", "replace").strip().splitlines()
    return said[-1] if said else f"exit code {ended.returncode}"
