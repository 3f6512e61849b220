"""What a git repository knows to be on its remotes, from its own records: nothing is asked over the network."""

from __future__ import annotations

import os
import re
from typing import Dict, Iterator, List, NamedTuple, Sequence

from devpod_rp.agent.exposure.git import Git
from devpod_rp.agent.machine.mounts import lies_below

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://")
_HOST_AND_PATH = re.compile(r"[^/:]+:")  # git@github.com:owner/name.git
_USER_INFO = re.compile(r"(?<=://)[^/@]*@")


class Remotes(NamedTuple):
    """The remotes that outlive the container: name -> address, without passwords; and commits that came from one."""

    addresses: Dict[str, str]
    fetched: List[str]

    def exclusions(self) -> List[str]:
        """What ``git rev-list`` must leave out so that the rest is on no remote."""
        names = ["--remotes=" + name for name in self.addresses]
        return ["--not", *names, *self.fetched] if names or self.fetched else []


def remotes(git: Git, git_dir: str, volumes: Sequence[str]) -> Remotes:
    """A remote counts if it is on another machine or on a volume; a folder of the container disk is lost, too.

    Raises:
        GitFailed: its configuration cannot be read.
    """
    addresses = {}
    config = os.path.join(_common(git_dir), "config")
    for record in git.records("config", "--file", config, "--no-includes", "-z", "--list"):
        key, _newline, value = record.partition("\n")
        if key.startswith("remote.") and key.endswith(".url") and _outlives(value, volumes):
            addresses[key[len("remote.") : -len(".url")]] = _USER_INFO.sub("", value)
    return Remotes(addresses, sorted(set(_fetched(git_dir, volumes))) if addresses else [])


def _outlives(address: str, volumes: Sequence[str]) -> bool:
    scheme = _SCHEME.match(address)
    if scheme is not None and scheme.group(1) != "file":
        return True
    if scheme is None and _HOST_AND_PATH.match(address):
        return True
    path = address[len("file://") :] if scheme is not None else address
    normal = os.path.normpath(path)
    return any(normal == volume or lies_below(normal, volume) for volume in volumes)


def _fetched(git_dir: str, volumes: Sequence[str]) -> Iterator[str]:
    """Commits that a remote gave though no branch of it names them: a cloned tag, the edge of a shallow clone."""
    for line in _lines(os.path.join(_common(git_dir), "shallow")):
        if _COMMIT.fullmatch(line.strip()):
            yield line.strip()
    for line in _lines(os.path.join(git_dir, "FETCH_HEAD")):
        commit, _tab, what = line.partition("\t")
        address = what.rpartition(" of ")[2].strip()
        if _COMMIT.fullmatch(commit) and _outlives(address, volumes):
            yield commit
    for line in _lines(os.path.join(git_dir, "logs", "HEAD")):
        # ``<old> <new> Name <mail> <time> <zone>\tclone: from <address>``
        entry, _tab, message = line.partition("\t")
        words = entry.split(" ")
        address = message[len("clone: from ") :].strip()
        cloned = message.startswith("clone: from ") and _outlives(address, volumes)
        if cloned and len(words) > 1 and _COMMIT.fullmatch(words[1]):
            yield words[1]


def _common(git_dir: str) -> str:
    """Where a linked worktree shares everything but its own HEAD and index (gitrepository-layout(5), commondir)."""
    named = next(_lines(os.path.join(git_dir, "commondir")), "").strip()
    return os.path.normpath(os.path.join(git_dir, named)) if named else git_dir


def _lines(path: str) -> Iterator[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            yield from stream
    except OSError:
        return  # most repositories have none of these
