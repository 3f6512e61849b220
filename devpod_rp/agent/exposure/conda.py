"""Which changed files are exactly what a conda package brought (``conda-meta/*.json``: conda docs, "Package metadata").

Each record names the package's archive and, for every file, its SHA-256: that of the file as it lies in the environment
where conda had to write the environment's path into it (``sha256_in_prefix``), else that of the archive's.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Set

from devpod_rp.agent.files.changes import Change, Stamp
from devpod_rp.agent.files.digests import ChangedWhileRead, hashed

_META = "/conda-meta/"
HISTORY = _META + "history"
_COMMAND = "# cmd: "
_PROGRAMS = ("conda", "mamba", "micromamba")
_CREDENTIAL = re.compile(r"//[^/@]*@|/t/[^/]+/")
# As for pip: above this size a file that is older than its record by both clocks is believed without being read.
_READ_ALWAYS_BYTES = 1 << 20


class Installed(NamedTuple):
    """A package that is new; *command* installs the archives that are appended to it."""

    name: str
    prefix: str
    command: str
    url: str
    mark: str


class Environment(NamedTuple):
    path: str
    how: str


class Owned(NamedTuple):
    paths: Set[str]
    new_packages: List[Installed]
    new_environments: List[Environment]


def owned(changes: Mapping[str, Change], *, root: str = "/") -> Owned:
    """The *changes* that conda can install again, with the packages and environments that are new.

    An environment whose conda itself is new has nothing to install it with; all of it stays the user's.
    """
    found = Owned(set(), [], [])
    for record in sorted(path for path in changes if _META in path and path.endswith(".json")):
        environment = record.partition(_META)[0]
        if environment + "/bin/conda" in changes:
            continue
        _look(record, environment, changes, root.rstrip("/"), found)
    for environment in sorted({each.prefix for each in found.new_packages}):
        history = environment + HISTORY
        if history in changes:
            found.paths.add(history)
        records = os.listdir(root.rstrip("/") + environment + _META)
        if all(environment + _META + name in changes for name in records if name.endswith(".json")):
            how = "{0} create -y -p {1}".format(_program(root.rstrip("/"), environment), shlex.quote(environment))
            found.new_environments.append(Environment(environment, how))
    return found


def _look(record: str, environment: str, changes: Mapping[str, Change], prefix: str, found: Owned) -> None:
    try:
        with open(prefix + record, "rb") as stream:
            document: Dict[str, Any] = json.loads(stream.read())
        url, name, version = str(document["url"]), str(document["name"]), str(document["version"])
        entries = list(document["paths_data"]["paths"])
    except (OSError, ValueError, KeyError, TypeError):
        return  # a record that cannot be read proves nothing
    if not url.startswith("https://") or _CREDENTIAL.search(url):
        return
    found.paths.add(record)
    command = "{0} install -y -p {1}".format(_program(prefix, environment), shlex.quote(environment))
    found.new_packages.append(Installed("{0}={1}".format(name, version), environment, command, url, record))
    for entry in entries:
        path = "{0}/{1}".format(environment, entry.get("_path"))
        change = changes.get(path)
        if change is not None and _is(prefix + path, change, entry, changes[record].stamp):
            found.paths.add(path)


def _is(physical: str, change: Change, entry: Mapping[str, Any], record: Stamp) -> bool:
    if change.target is not None:
        return entry.get("path_type") == "softlink" and change.stamp.ctime_ns <= record.ctime_ns
    older = change.stamp.ctime_ns <= record.ctime_ns and change.stamp.mtime_ns <= record.mtime_ns
    if change.stamp.size > _READ_ALWAYS_BYTES and older:
        return True
    digest: Optional[str] = entry.get("sha256_in_prefix") or entry.get("sha256")
    try:
        return hashed(physical, "sha256", change.stamp).hex() == digest
    except (OSError, ChangedWhileRead):
        return False


def _program(prefix: str, environment: str) -> str:
    """What was used in *environment* last (``# cmd:`` in its history): conda, or another that reads its records."""
    used = "conda"
    try:
        with open(prefix + environment + HISTORY, encoding="utf-8", errors="replace") as stream:
            for line in stream:
                word = line[len(_COMMAND) :].split(" ")[0].strip() if line.startswith(_COMMAND) else ""
                if os.path.basename(word) in _PROGRAMS:
                    used = word
    except OSError:
        return used
    return shlex.quote(used)
