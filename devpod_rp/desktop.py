"""Telling somebody who looks elsewhere: a notification of the desktop, where there is one."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys

log = logging.getLogger(__name__)

_SECONDS = 5.0


def notify(title: str, text: str) -> None:
    """Show *text* once, through the desktop's own program; without one it is in the log only. Never raises."""
    log.info("notice=%r text=%r", title, text)
    command = _command(title, text)
    if command is None:
        return
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        log.info("notice=not-shown error=%s", error)


def _command(title: str, text: str) -> list[str] | None:
    if sys.platform == "darwin":
        # Passed as arguments, so that nothing in them is read as a script.
        script = "on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run"
        return ["osascript", "-e", script, title, text]
    found = shutil.which("notify-send")
    return [found, "--app-name=devpod-rp", "--", title, text] if found else None
