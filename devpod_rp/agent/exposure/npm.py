"""What npm installed and nobody touched since.

In a project npm writes ``node_modules/.package-lock.json`` last (npm docs, package-lock.json, "Hidden Lockfiles"), so a
file below that is older by both clocks is npm's. A global installation has no such file; there a package's files come
in one go, and one that is much newer than the first was edited.
"""

from __future__ import annotations

import json
from typing import Dict, List, Mapping, NamedTuple, Optional, Set, Tuple

from devpod_rp.agent.files.changes import Change

_MODULES = "/node_modules/"
_GLOBAL = ("/usr/lib/node_modules/", "/usr/local/lib/node_modules/", "/opt/node/lib/node_modules/")
_AT_ONCE_NS = 30_000_000_000


class Tool(NamedTuple):
    """A package that was installed globally."""

    name: str
    version: Optional[str]
    mark: str


class Owned(NamedTuple):
    paths: Set[str]
    projects: List[str]  # folders in which `npm ci` brings everything back
    tools: List[Tool]


MARK = "/node_modules/.package-lock.json"
"""What npm leaves in a project's folder when everything is installed."""

LOCK = "/package-lock.json"
"""What `npm ci` goes by."""


def owned(changes: Mapping[str, Change], *, root: str = "/") -> Owned:
    """The *changes* that npm can install again."""
    found = Owned(set(), [], [])
    by_tool: Dict[Tuple[str, str], List[Change]] = {}
    for path, change in changes.items():
        tool = _tool(path)
        if tool is not None:
            by_tool.setdefault(tool, []).append(change)
            continue
        lock = _lock(path, changes)
        if lock is not None and change.stamp.ctime_ns <= lock.stamp.ctime_ns:
            found.paths.add(path)
    for (folder, name), files in sorted(by_tool.items()):
        began = min(each.stamp.ctime_ns for each in files)
        found.paths.update(each.path for each in files if each.stamp.ctime_ns <= began + _AT_ONCE_NS)
        described = "{0}{1}/package.json".format(folder, name)
        found.tools.append(Tool(name, _version(root.rstrip("/") + described), described))
    found.paths.update(_commands(changes))
    found.projects.extend(sorted(path[: -len(MARK)] for path in changes if path.endswith(MARK)))
    return found


def _tool(path: str) -> Optional[Tuple[str, str]]:
    for folder in _GLOBAL:
        if path.startswith(folder):
            names = path[len(folder) :].split("/")
            whole = names[:2] if names[0].startswith("@") else names[:1]
            return (folder, "/".join(whole)) if len(names) > len(whole) else None
    return None


def _version(described: str) -> Optional[str]:
    try:
        with open(described, "rb") as stream:
            version = json.loads(stream.read()).get("version")
    except (OSError, ValueError, AttributeError):
        return None
    return version if isinstance(version, str) else None


def _lock(path: str, changes: Mapping[str, Change]) -> Optional[Change]:
    top, inside, _rest = path.partition(_MODULES)
    return changes.get(top + MARK) if inside else None


def _commands(changes: Mapping[str, Change]) -> List[str]:
    """The links in a bin folder to what was installed globally."""
    return [
        path
        for path, change in changes.items()
        if change.target is not None and "/bin/" in path and "../lib/node_modules/" in change.target
    ]
