"""``git_credentials``: git on the pod may use HTTPS credentials of this machine, for the hosts that are named.

Each time git asks on the pod, the question comes here over the keeper's connection, git's own credential helpers of
this machine answer it, and the answer goes back to that git. Nothing of it is ever written on the pod, and when this
machine is not connected there is no answer. While it is, whoever runs programs on the pod may ask, as with a forwarded
SSH agent.
"""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from devpod_rp.agent.servers.lending import ATTRIBUTES, HELPER
from devpod_rp.environments import Environment
from devpod_rp.lifecycle.reach import connect
from devpod_rp.progress import Event, Progress

log = logging.getLogger(__name__)

_SECONDS = 30.0


def register(environment: Environment, hosts: Iterable[str], progress: Progress) -> None:
    """Have git on the pod ask us for credentials of *hosts*, and of no other.

    In the system's configuration of git, so that the user's own, which may be kept on the volume or be a link to
    their dotfiles, stays theirs. A failure is said.

    Raises:
        UnreachableError: the connection is lost.
    """
    # A missing helper would be an error to git; the test is not.
    asking = f"!test ! -x {HELPER} || {HELPER}"
    script = "command -v git > /dev/null || exit 0\n" + "".join(
        f"git config --system --get-all {key} | grep -qF {HELPER} || "
        f"git config --system --add {key} {shlex.quote(asking)} || exit\n"
        for key in (shlex.quote(f"credential.https://{host}.helper") for host in hosts)
    )
    with connect.open_connection(environment) as connection:
        done = connection.run("sh -s", input=script.encode())
    if done.exit_code != 0:
        words = done.stderr.decode("utf-8", "replace").strip()
        progress(Event("git", f"git_credentials: git on the pod did not take it: {words}", warning=True))


def answer(question: Mapping[str, str], hosts: Iterable[str], folder: Path) -> dict[str, str]:
    """What git's helpers of this machine know for *question*; nothing for other hosts, and nobody is asked anything."""
    git = shutil.which("git")
    asked = {name: str(value) for name in ATTRIBUTES if (value := question.get(name))}
    if git is None or asked.get("protocol") != "https" or asked.get("host") not in set(hosts):
        return {}
    if any(character in value for value in asked.values() for character in "\n\r\0"):
        return {}  # it would say something else to git (CVE-2020-5260)
    environ = {name: value for name, value in os.environ.items() if name not in ("GIT_ASKPASS", "SSH_ASKPASS")}
    done = subprocess.run(
        [git, "-c", "core.askPass=", "credential", "fill"],
        input="".join(f"{name}={value}\n" for name, value in asked.items()),
        cwd=folder if folder.is_dir() else None,
        env={**environ, "GIT_TERMINAL_PROMPT": "0", "GCM_INTERACTIVE": "never"},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    log.info("git-credentials=asked host=%s answered=%s", asked["host"], done.returncode == 0)
    if done.returncode != 0:
        return {}
    known = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return {name: known[name] for name in ("username", "password") if name in known}
