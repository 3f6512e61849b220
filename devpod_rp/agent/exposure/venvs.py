"""The files that ``python -m venv`` (and uv, virtualenv) write into an environment and that nobody touched since.

pyvenv.cfg marks an environment (PEP 405). Its activation scripts are written in one go and often edited afterwards, to
export a key for instance: such a one is newer than the others and stays the user's.
"""

from __future__ import annotations

import os
import shlex
from typing import Dict, List, Mapping, NamedTuple, Set

from devpod_rp.agent.files.changes import Change

_MARK = "/pyvenv.cfg"
_SCRIPTS = (
    "activate", "activate.bat", "activate.csh", "activate.fish", "activate.nu", "activate.ps1", "activate_this.py",
    "Activate.ps1", "deactivate.bat", "pydoc.bat",
)  # fmt: skip
_AT_ONCE_NS = 1_000_000_000


class Environment(NamedTuple):
    """An environment that is new; *how* makes it again, as empty as it once was."""

    path: str
    how: str
    mark: str


class Owned(NamedTuple):
    paths: Set[str]
    environments: List[Environment]


def owned(changes: Mapping[str, Change], *, root: str = "/") -> Owned:
    """The *changes* that making each environment again brings back, and those environments."""
    found = Owned(set(), [])
    for path in sorted(changes):
        if path.endswith(_MARK):
            folder = path[: -len(_MARK)]
            found.environments.append(Environment(folder, _how(folder, root.rstrip("/")), path))
            found.paths.add(path)
            found.paths.update(_links(folder, changes), _scripts(folder, changes))
    return found


def _links(folder: str, changes: Mapping[str, Change]) -> List[str]:
    names = [folder + "/lib64", folder + "/bin/python"]
    names += [path for path in changes if path.startswith(folder + "/bin/python")]
    return [name for name in names if name in changes and changes[name].target is not None]


def _scripts(folder: str, changes: Mapping[str, Change]) -> List[str]:
    places = ["{0}/bin/{1}".format(folder, name) for name in _SCRIPTS]
    scripts = [changes[path] for path in places if path in changes]
    if len(scripts) < 2:
        return []  # nothing to compare it with
    began = min(script.stamp.ctime_ns for script in scripts)
    return [script.path for script in scripts if script.stamp.ctime_ns <= began + _AT_ONCE_NS]


def _how(folder: str, prefix: str) -> str:
    settings = _settings(prefix + folder + _MARK)
    version = ".".join((settings.get("version") or settings.get("version_info", "")).split(".")[:2])
    sees_all = " --system-site-packages" if settings.get("include-system-site-packages") == "true" else ""
    if "uv" in settings:
        python = " --python " + version if version else ""
        return "uv venv{0}{1} {2}".format(python, sees_all, shlex.quote(folder))
    python = "python" + version if version else "python3"
    own = os.path.join(settings.get("home", ""), python)
    if settings.get("home", "").startswith("/") and os.path.exists(prefix + own):
        python = own
    return "{0} -m venv{1} {2}".format(shlex.quote(python), sees_all, shlex.quote(folder))


def _settings(path: str) -> Dict[str, str]:
    """The lines ``key = value`` of a pyvenv.cfg."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            pairs = (line.partition("=") for line in stream)
            return {key.strip(): value.strip() for key, _equals, value in pairs}
    except OSError:
        return {}
