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
_CREDENTIAL = re.compile(r"//[^/@]*@|/t/[^/]+/")
# As for pip: above this size a file that is older than its record by both clocks is believed without being read.
_READ_ALWAYS_BYTES = 1 << 20


class Installed(NamedTuple):
    name: str
    prefix: str
    url: str
    mark: str


class Owned(NamedTuple):
    paths: Set[str]
    new_packages: List[Installed]
    new_environments: List[str]


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
            found.new_environments.append(environment)
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
    found.new_packages.append(Installed("{0}={1}".format(name, version), environment, url, record))
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


def create_command(environment: str) -> str:
    return "conda create -y -p " + shlex.quote(environment)


def install_command(environment: str) -> str:
    return "conda install -y -p " + shlex.quote(environment)
