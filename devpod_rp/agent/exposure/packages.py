"""Files that a package manager put there and can put there again, unchanged: proved, never guessed.

A changed file is a package's only if the package's own list names it *and* its content is what the package shipped.
Anything else, a patched library for instance, stays the user's.
"""

from __future__ import annotations

import shlex
from typing import Dict, List, NamedTuple, Sequence, Set, Tuple

from devpod_rp.agent.exposure import conda, dpkg, npm, pip, venvs
from devpod_rp.agent.files.changes import Change


class Package(NamedTuple):
    """What came after the boot and comes back with the command *how*.

    *batch* is the beginning of *how* after which others of its kind can be named, too. *mark* is the path that is
    there once it is, empty where nothing tells; *needs* is a path without which *how* cannot succeed.
    """

    kind: str
    name: str
    how: str
    batch: str = ""
    mark: str = ""
    needs: str = ""
    size: int = 0

    @property
    def key(self) -> Tuple[str, ...]:
        """What it has in common with other versions of itself."""
        return (self.kind, self.batch or self.how, self.name.partition("=")[0])


class Owned(NamedTuple):
    paths: Set[str]
    packages: List[Package]


def owned(changes: Sequence[Change], *, volumes: Sequence[str] = (), root: str = "/") -> Owned:
    """The part of *changes* that packages own, and those packages that are themselves among the changes.

    *volumes* are where something can lie that packages are installed from and that outlives a stop.
    """
    by_path: Dict[str, Change] = {change.path: change for change in changes}
    debian = dpkg.owned(by_path, root=root)
    condas = conda.owned(by_path, root=root)
    python = pip.owned(by_path, volumes=volumes, root=root)
    environments = venvs.owned(by_path, root=root)
    node = npm.owned(by_path, root=root)
    return Owned(
        debian.paths | condas.paths | python.paths | environments.paths | node.paths,
        [
            *(_appended("apt", name, "apt-get install -y", name, mark) for name, mark in debian.new_packages),
            *(
                Package("conda-env", each.path, each.how, mark=each.path + conda.HISTORY)
                for each in condas.new_environments
            ),
            *(
                _appended("conda", each.name, each.command, shlex.quote(each.url), each.mark)
                for each in condas.new_packages
            ),
            *(Package("venv", each.path, each.how, mark=each.mark) for each in environments.environments),
            *(
                _appended(each.kind, each.name, each.command, each.argument, each.mark, each.needs, each.size_bytes)
                for each in python.new_packages
            ),
            *(
                Package(
                    "npm",
                    path,
                    "npm --prefix {0} ci".format(shlex.quote(path)),
                    mark=path + npm.MARK,
                    needs=path + npm.LOCK,
                )
                for path in node.projects
            ),
            *(
                _appended("npm", each.name, "npm install -g", shlex.quote(_pinned(each)), each.mark)
                for each in node.tools
            ),
        ],
    )


def _appended(kind: str, name: str, command: str, argument: str, mark: str, needs: str = "", size: int = 0) -> Package:
    return Package(kind, name, "{0} {1}".format(command, argument), command, mark, needs, size)


def _pinned(tool: npm.Tool) -> str:
    return tool.name if tool.version is None else "{0}@{1}".format(tool.name, tool.version)
