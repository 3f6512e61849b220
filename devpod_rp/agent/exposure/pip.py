"""Which changed files are exactly what a Python package's RECORD says was installed.

RECORD (packaging.python.org, "Recording installed projects"): a CSV of path relative to the directory that holds the
``.dist-info``, ``sha256=<urlsafe base64 without padding>`` and size; direct_url.json says where an install that did not
come from an index came from (PEP 610).
"""

from __future__ import annotations

import base64
import csv
import json
import os
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple

from devpod_rp.agent.files.changes import Change, look
from devpod_rp.agent.files.digests import ChangedWhileRead, hashed

_SITES = ("site-packages", "dist-packages")
_PYTORCH_INDEX = "https://download.pytorch.org/whl/"
# Above this size a file that is older than its RECORD by both clocks is believed without being read: a framework's
# libraries are gigabytes, and what people patch by hand is source.
_READ_ALWAYS_BYTES = 1 << 20


class Installed(NamedTuple):
    name: str
    how: str


class Owned(NamedTuple):
    paths: Set[str]
    new_packages: List[Installed]


def owned(changes: Mapping[str, Change], *, root: str = "/") -> Owned:
    """The *changes* that are parts of packages which can be installed again, and those packages that are new."""
    prefix = root.rstrip("/")
    paths: Set[str] = set()
    new: List[Installed] = []
    for site in sorted(_sites(changes)):
        for info in _infos(prefix + site):
            source = _source(prefix + site, info)
            if source is None:
                continue
            record = "{0}/{1}/RECORD".format(site, info)
            paths |= _proved(record, site, changes, prefix)
            if record in changes:
                paths.add(record)
                new.append(Installed(_title(info), _command(prefix, site, info, source)))
    return Owned(paths, new)


def _sites(changes: Mapping[str, Change]) -> Set[str]:
    sites = set()
    for path in changes:
        for name in _SITES:
            position = path.find("/" + name + "/")
            if position >= 0:
                sites.add(path[: position + len(name) + 1])
    return sites


def _infos(site: str) -> List[str]:
    try:
        return sorted(name for name in os.listdir(site) if name.endswith(".dist-info"))
    except OSError:
        return []


def _source(site: str, info: str) -> Optional[str]:
    """What to give pip to get this package again; None if it came from a directory or file that may be lost too."""
    try:
        with open(os.path.join(site, info, "direct_url.json"), "rb") as stream:
            direct: Dict[str, Any] = json.loads(stream.read())
    except FileNotFoundError:
        return _requirement(info)
    except (OSError, ValueError):
        return None
    url, version_control = str(direct.get("url", "")), direct.get("vcs_info")
    if "dir_info" in direct or not url.startswith(("https://", "http://", "ssh://")):
        return None
    if isinstance(version_control, dict):
        return "{0}+{1}@{2}".format(version_control.get("vcs"), url, version_control.get("commit_id"))
    return url


def _proved(record: str, site: str, changes: Mapping[str, Change], prefix: str) -> Set[str]:
    proved = set()
    for path, digest, size in _entries(prefix + record, site):
        change = changes.get(path)
        if change is None or change.target is not None or size not in ("", str(change.stamp.size)):
            continue
        if _untouched_since(prefix, record, change) or _is(prefix + path, change, digest):
            proved.add(path)
    return proved


def _entries(record: str, site: str) -> Iterator[Tuple[str, str, str]]:
    try:
        with open(record, newline="", encoding="utf-8", errors="surrogateescape") as stream:
            for row in csv.reader(stream):
                if len(row) == 3 and row[1].startswith("sha256="):
                    yield os.path.normpath(os.path.join(site, row[0])), row[1][len("sha256=") :], row[2]
    except (OSError, csv.Error):
        return  # a list that cannot be read proves nothing


def _untouched_since(prefix: str, record: str, change: Change) -> bool:
    if change.stamp.size <= _READ_ALWAYS_BYTES:
        return False
    try:
        written = look(record, root=prefix or "/").stamp
    except OSError:
        return False
    # Installers write RECORD last. A later edit shows in ctime; were RECORD's own ctime moved (chmod -R), in mtime.
    return change.stamp.ctime_ns <= written.ctime_ns and change.stamp.mtime_ns <= written.mtime_ns


def _is(physical: str, change: Change, digest: str) -> bool:
    try:
        found = hashed(physical, "sha256", change.stamp)
    except (OSError, ChangedWhileRead):
        return False
    return base64.urlsafe_b64encode(found).rstrip(b"=").decode("ascii") == digest


def _requirement(info: str) -> str:
    name, _dash, version = info[: -len(".dist-info")].partition("-")
    return "{0}=={1}".format(name, version)


def _title(info: str) -> str:
    return _requirement(info)


def _command(prefix: str, site: str, info: str, source: str) -> str:
    python = _environment_python(prefix, site)
    command = "{0} -m pip install '{1}'".format(python, source)
    local = _requirement(info).partition("+")[2]
    # PyTorch's CUDA builds carry a local version such as +cu128 and are on its own index only.
    if source == _requirement(info) and (local.startswith("cu") or local == "cpu"):
        command += " --extra-index-url {0}{1}".format(_PYTORCH_INDEX, local)
    return command


def _environment_python(prefix: str, site: str) -> str:
    environment = os.path.dirname(os.path.dirname(os.path.dirname(site)))  # <env>/lib/python3.12/site-packages
    if os.path.exists(prefix + os.path.join(environment, "pyvenv.cfg")):
        return os.path.join(environment, "bin", "python")
    version = os.path.basename(os.path.dirname(site))
    return version if version.startswith("python3") else "python3"
