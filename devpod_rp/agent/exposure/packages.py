"""Files that a package manager put there and can put there again, unchanged: proved, never guessed.

A changed file is a package's only if the package's own list names it *and* its content is what the package shipped.
Anything else, a patched library for instance, stays the user's.
"""

from __future__ import annotations

import shlex
from typing import Dict, List, NamedTuple, Sequence, Set

from devpod_rp.agent.exposure import dpkg, npm, pip, venvs
from devpod_rp.agent.files.changes import Change


class Package(NamedTuple):
    """A package that came after the boot, and the command that brings it back."""

    kind: str  # "apt", "venv", "pip" or "npm"
    name: str
    how: str


class Owned(NamedTuple):
    paths: Set[str]
    packages: List[Package]


def owned(changes: Sequence[Change], *, root: str = "/") -> Owned:
    """The part of *changes* that packages own, and those packages that are themselves among the changes."""
    by_path: Dict[str, Change] = {change.path: change for change in changes}
    debian = dpkg.owned(by_path, root=root)
    python = pip.owned(by_path, root=root)
    environments = venvs.owned(by_path)
    node = npm.owned(by_path)
    packages = [Package("apt", name, "apt-get install -y " + name) for name in debian.new_packages]
    packages += [Package("venv", path, "python3 -m venv " + shlex.quote(path)) for path in environments.environments]
    packages += [Package("pip", installed.name, installed.how) for installed in python.new_packages]
    packages += [Package("npm", path, "npm --prefix {0} ci".format(shlex.quote(path))) for path in node.projects]
    packages += [Package("npm", name, "npm install -g " + shlex.quote(name)) for name in node.tools]
    return Owned(debian.paths | python.paths | environments.paths | node.paths, packages)
