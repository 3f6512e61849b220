"""Open folders of the container disk, reached from its top without following a link at any step."""

from __future__ import annotations

import errno
import os
from typing import List, Tuple

from devpod_rp.agent.files.places import OPEN_FOLDER


class InTheWay(Exception):
    """Something that is no folder, a link perhaps, stands where a folder of the path should be."""


class Folders:
    """Gives the descriptor of a folder below *root*, and keeps the way to the last one open."""

    def __init__(self, root: str) -> None:
        self._top = os.open(root, OPEN_FOLDER)
        self._way: List[Tuple[str, int]] = []

    def close(self) -> None:
        self._leave(0)
        os.close(self._top)

    def at(self, path: str, *, make: bool = False) -> int:
        """The descriptor of the folder *path*, valid until the next call; with *make* missing ones are made.

        Raises:
            InTheWay: it is not reached through folders alone. FileNotFoundError: it is not there.
        """
        names = [name for name in path.split("/") if name]
        same = 0
        while same < min(len(names), len(self._way)) and self._way[same][0] == names[same]:
            same += 1
        self._leave(same)
        here = self._way[-1][1] if self._way else self._top
        for name in names[same:]:
            here = self._enter(here, name, make=make)
            self._way.append((name, here))
        return here

    def _enter(self, here: int, name: str, *, make: bool) -> int:
        try:
            return os.open(name, OPEN_FOLDER, dir_fd=here)
        except FileNotFoundError:
            if not make:
                raise
            os.mkdir(name, 0o755, dir_fd=here)
            return os.open(name, OPEN_FOLDER, dir_fd=here)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EMLINK):
                raise InTheWay(name) from error
            raise

    def _leave(self, depth: int) -> None:
        for _, descriptor in self._way[depth:]:
            os.close(descriptor)
        del self._way[depth:]
