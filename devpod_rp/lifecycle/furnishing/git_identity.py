"""Who commits on the pod: whoever commits here, unless the pod knows better."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

from devpod_rp.environments import Environment
from devpod_rp.lifecycle.reach import connect
from devpod_rp.progress import Event, Progress

_KEYS = ("user.name", "user.email")


def share(environment: Environment, progress: Progress) -> None:
    """Give git on the pod the name and address that git uses in the folder here, each where it has none of its own.

    Raises:
        UnreachableError: the connection is lost.
    """
    known = {key: value for key in _KEYS if (value := _here(Path(environment.folder), key))}
    if not known:
        progress(Event("git", "git_identity: git here knows no name and address to give to the pod.", warning=True))
        return
    # Over standard input: a command line can be read by everybody on the pod.
    script = "command -v git > /dev/null || exit 0\n" + "".join(
        f"git config --global --get {key} > /dev/null || git config --global {key} {shlex.quote(value)} || exit\n"
        for key, value in known.items()
    )
    with connect.open_connection(environment) as connection:
        done = connection.run("sh -s", input=script.encode("utf-8", "surrogateescape"))
    if done.exit_code != 0:
        words = done.stderr.decode("utf-8", "replace").strip()
        progress(Event("git", f"git_identity: git on the pod did not take it: {words}", warning=True))


def _here(folder: Path, key: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    asked = [git, "-C", str(folder), "config", "--get", key]
    done = subprocess.run(asked, capture_output=True, text=True, errors="surrogateescape", check=False)
    return done.stdout.rstrip("\n") or None
