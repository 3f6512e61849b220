"""What npm installed and nobody touched since.

In a project npm writes ``node_modules/.package-lock.json`` last (npm docs, package-lock.json, "Hidden Lockfiles"), so a
file below that is older by both clocks is npm's. A global installation has no such file; there a package's files come
in one go, and one that is much newer than the first was edited.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Optional, Set

from devpod_rp.agent.files.changes import Change

_MODULES = "/node_modules/"
_HIDDEN_LOCK = ".package-lock.json"
_GLOBAL = ("/usr/lib/node_modules/", "/usr/local/lib/node_modules/", "/opt/node/lib/node_modules/")
_AT_ONCE_NS = 30_000_000_000


class Owned(NamedTuple):
    paths: Set[str]
    projects: List[str]  # folders in which `npm ci` brings everything back
    tools: List[str]  # packages that were installed globally


def owned(changes: Mapping[str, Change]) -> Owned:
    """The *changes* that npm can install again."""
    found = Owned(set(), [], [])
    by_tool: Dict[str, List[Change]] = {}
    for path, change in changes.items():
        tool = _tool(path)
        if tool is not None:
            by_tool.setdefault(tool, []).append(change)
            continue
        lock = _lock(path, changes)
        if lock is not None and change.stamp.ctime_ns <= lock.stamp.ctime_ns:
            found.paths.add(path)
    for tool, files in sorted(by_tool.items()):
        began = min(each.stamp.ctime_ns for each in files)
        found.paths.update(each.path for each in files if each.stamp.ctime_ns <= began + _AT_ONCE_NS)
        found.tools.append(tool)
    found.paths.update(_commands(changes))
    suffix = _MODULES + _HIDDEN_LOCK
    found.projects.extend(sorted(path[: -len(suffix)] for path in changes if path.endswith(suffix)))
    return found


def _tool(path: str) -> Optional[str]:
    for folder in _GLOBAL:
        if path.startswith(folder):
            names = path[len(folder) :].split("/")
            whole = names[:2] if names[0].startswith("@") else names[:1]
            return "/".join(whole) if len(names) > len(whole) else None
    return None


def _lock(path: str, changes: Mapping[str, Change]) -> Optional[Change]:
    top, inside, _rest = path.partition(_MODULES)
    return changes.get(top + _MODULES + _HIDDEN_LOCK) if inside else None


def _commands(changes: Mapping[str, Change]) -> List[str]:
    """The links in a bin folder to what was installed globally."""
    return [
        path
        for path, change in changes.items()
        if change.target is not None and "/bin/" in path and "../lib/node_modules/" in change.target
    ]
