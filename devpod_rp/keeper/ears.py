"""Hearing of changes in the folder, as long as the system allows it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from devpod_rp.keeper.parts import Deliver, Parts, Watching

if TYPE_CHECKING:
    from devpod_rp.sync.session import Session

log = logging.getLogger(__name__)


class Ears:
    """At most one watcher on *folder*. *problem* says why there is none; cycles then find changes by looking."""

    def __init__(self, folder: Path, session: Session, parts: Parts, deliver: Deliver) -> None:
        self._folder = folder
        self._session = session
        self._watch = parts.watch
        self._deliver = deliver
        self._watcher: Watching | None = None
        self.problem: str | None = None

    def open(self) -> None:
        """Watch from now on: what happens after this returns is heard of. Harmless when watching already."""
        if self._watcher is not None:
            return
        try:
            self._watcher = self._watch(self._folder, self._takes_part, self._deliver)
            self.problem = None
        except OSError as error:
            log.warning("watch=failed error=%s", error)
            self.problem = f"changes are found by looking once a minute, because watching failed: {error}"

    def close(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.close()

    def _takes_part(self, path: str, is_folder: bool) -> bool:
        return not self._session.ignored(path, is_folder)
