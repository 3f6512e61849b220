"""Which changed files are exactly what a Python package's RECORD says was installed.

RECORD (packaging.python.org, "Recording installed projects"): a CSV of path relative to the directory that holds the
``.dist-info``, ``sha256=<urlsafe base64 without padding>`` and size; INSTALLER names the tool that wrote it;
direct_url.json says where an install that did not come from an index came from (PEP 610).
"""

from __future__ import annotations

import base64
import csv
import json
import os
import shlex
import urllib.parse
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from devpod_rp.agent.files.changes import Change, look
from devpod_rp.agent.files.digests import ChangedWhileRead, hashed
from devpod_rp.agent.machine.mounts import lies_below

_SITES = ("site-packages", "dist-packages")
_PYTORCH_INDEX = "https://download.pytorch.org/whl/"
# Above this size a file that is older than its RECORD by both clocks is believed without being read: a framework's
# libraries are gigabytes, and what people patch by hand is source.
_READ_ALWAYS_BYTES = 1 << 20


class Installed(NamedTuple):
    """A package that is new. *command* installs what is appended to it, *argument* is this package, quoted; *needs*
    is what must be there for that, *mark* what is there once it is installed."""

    kind: str  # "pip" or "uv"
    name: str
    command: str
    argument: str
    mark: str
    size_bytes: int
    needs: str = ""


class Source(NamedTuple):
    argument: str
    needs: str = ""


class Owned(NamedTuple):
    paths: Set[str]
    new_packages: List[Installed]


def owned(changes: Mapping[str, Change], *, volumes: Sequence[str] = (), root: str = "/") -> Owned:
    """The *changes* that are parts of packages which can be installed again, and those packages that are new.

    What came from a directory or an archive on this machine can be, if that lies on one of *volumes*.
    """
    prefix = root.rstrip("/")
    paths: Set[str] = set()
    new: List[Installed] = []
    for site in sorted(_sites(changes)):
        for info in _infos(prefix + site):
            source = _source(prefix, site, info, volumes)
            if source is None:
                continue
            record = "{0}/{1}/RECORD".format(site, info)
            proved = _proved(record, site, changes, prefix)
            paths |= proved
            if record not in changes:
                continue
            paths.add(record)
            installer = _word(prefix + site, info, "INSTALLER")
            if installer != "conda":
                size = sum(changes[path].stamp.size for path in proved)
                new.append(_installed(prefix, site, info, source, installer, record, size))
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


def _source(prefix: str, site: str, info: str, volumes: Sequence[str]) -> Optional[Source]:
    """What to give pip to get this package again; None if it came from a directory or file that may be lost too."""
    try:
        with open(os.path.join(prefix + site, info, "direct_url.json"), "rb") as stream:
            direct: Dict[str, Any] = json.loads(stream.read())
    except FileNotFoundError:
        return Source(shlex.quote(_requirement(info)))
    except (OSError, ValueError):
        return None
    url, version_control = str(direct.get("url", "")), direct.get("vcs_info")
    below = "#subdirectory={0}".format(direct["subdirectory"]) if direct.get("subdirectory") else ""
    if url.startswith("file://"):
        return _here(urllib.parse.unquote(url[len("file://") :]), direct, prefix, volumes)
    if "dir_info" in direct or not url.startswith(("https://", "http://", "ssh://")):
        return None
    if isinstance(version_control, dict):
        url = "{0}+{1}@{2}".format(version_control.get("vcs"), url, version_control.get("commit_id"))
    return Source(shlex.quote(url + below))


def _here(path: str, direct: Mapping[str, Any], prefix: str, volumes: Sequence[str]) -> Optional[Source]:
    """A directory or archive of this machine: proved to give the same again if it outlives a stop and is what it was.

    What was built of a directory is no copy of it, unless it was installed to be edited there.
    """
    if not any(lies_below(path, volume) for volume in volumes):
        return None
    directory, archive = direct.get("dir_info"), direct.get("archive_info")
    if isinstance(directory, dict) and directory.get("editable") and os.path.isdir(prefix + path):
        return Source("-e " + shlex.quote(path), needs=path)
    if isinstance(archive, dict):
        digest = (archive.get("hashes") or {}).get("sha256") or str(archive.get("hash", "")).partition("sha256=")[2]
        try:
            if digest and hashed(prefix + path, "sha256").hex() == digest:
                return Source(shlex.quote(path), needs=path)
        except (OSError, ChangedWhileRead):
            return None
    return None


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


def _installed(
    prefix: str, site: str, info: str, source: Source, installer: str, record: str, size_bytes: int
) -> Installed:
    name = _requirement(info)
    python, options = _interpreter(prefix, site)
    # Without dependencies: each that came after the boot is a package of the list itself, in the version it had.
    if installer == "uv":
        kind, command = "uv", "uv pip install --python {0} --no-deps".format(shlex.quote(python))
    else:
        kind, command = "pip", "{0} -m pip install{1} --no-deps".format(shlex.quote(python), options)
    local = name.partition("+")[2]
    # PyTorch's CUDA builds carry a local version such as +cu128 and are on its own index only.
    if source.argument == shlex.quote(name) and (local.startswith("cu") or local == "cpu"):
        command += " --extra-index-url {0}{1}".format(_PYTORCH_INDEX, local)
    return Installed(kind, name, command, source.argument, record, size_bytes, source.needs)


def _interpreter(prefix: str, site: str) -> Tuple[str, str]:
    """The Python that looks for packages in *site*, and the options that make it install there."""
    environment = os.path.dirname(os.path.dirname(os.path.dirname(site)))  # <env>/lib/python3.12/site-packages
    version = os.path.basename(os.path.dirname(site))
    version = version if version.startswith("python3.") else "python3"
    if os.path.exists(prefix + os.path.join(environment, "pyvenv.cfg")):
        return os.path.join(environment, "bin", "python"), ""
    if environment.endswith("/.local"):
        return version, " --user"
    own = os.path.join(environment, "bin", version)
    return (own if os.path.exists(prefix + own) else version), ""


def _word(site: str, info: str, name: str) -> str:
    try:
        with open(os.path.join(site, info, name), encoding="utf-8", errors="replace") as stream:
            return stream.readline().strip()
    except OSError:
        return ""
