"""Asking git about a repository that somebody else configured, without running anything that they configured.

Only plumbing that reads objects, references and the index is used: none of it runs hooks, filters, text conversions,
pagers or helpers. The user's and the system's configuration are left out, and nothing is fetched or written.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import List, Optional, Sequence

_SECONDS = 120.0
_SAFE = (
    "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.pager=cat",
    "-c", "protocol.allow=never", "-c", "safe.directory=*",
)  # fmt: skip
_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "XDG_CONFIG_HOME": "/nonexistent",
}


class GitFailed(Exception):
    """Git could not answer: no git, a damaged repository, or it took too long."""


def program() -> Optional[str]:
    """Where git is on this pod; None if it has none."""
    return shutil.which("git")


class Git:
    """Questions to the repository with the git directory *git_dir*; its owner does not matter when it is named."""

    def __init__(self, executable: str, git_dir: str, work_tree: Optional[str] = None) -> None:
        self._words = [executable, *_SAFE, "--git-dir=" + git_dir]
        if work_tree is not None:
            self._words.append("--work-tree=" + work_tree)
        # Where ls-files looks from: paths come out relative to it.
        self._folder = work_tree or git_dir

    def lines(self, *arguments: str) -> List[str]:
        return self._ask(arguments, b"\n")

    def records(self, *arguments: str) -> List[str]:
        """The answer of a command that ends each record with NUL (``-z``)."""
        return self._ask(arguments, b"\0")

    def knows(self, *arguments: str) -> Optional[str]:
        """The one line of a question that git answers with failure if there is no such thing; then None."""
        done = self._run(arguments)
        return os.fsdecode(done.stdout).strip() if done.returncode == 0 else None

    def _ask(self, arguments: Sequence[str], separator: bytes) -> List[str]:
        done = self._run(arguments)
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise GitFailed(said[-1] if said else "git {0} failed".format(arguments[0]))
        return [os.fsdecode(each) for each in done.stdout.split(separator) if each]

    def _run(self, arguments: Sequence[str]) -> "subprocess.CompletedProcess[bytes]":
        try:
            return subprocess.run(
                [*self._words, *arguments],
                cwd=self._folder,
                env={**_ENVIRONMENT, "PATH": os.environ.get("PATH", os.defpath)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                timeout=_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise GitFailed("git cannot be asked: {0}".format(error)) from error
