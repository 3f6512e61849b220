"""New files, where nothing is: nearly all of a first upload. What is there is not looked at; the kernel refuses to
replace it."""

from __future__ import annotations

import os
from typing import Dict, List, Union

from devpod_rp.agent.files import content
from devpod_rp.agent.sync.batch import NewFiles
from devpod_rp.agent.sync.own import OWN
from devpod_rp.agent.sync.roots import Area, Root, encode, parts_of
from devpod_rp.agent.sync.staging import Staged, Staging
from devpod_rp.agent.wire import Refusal


class Arrivals:
    """The new *files* of one batch, whose contents are *joined*: all of them are staged before the first appears."""

    def __init__(self, area: Area, root: Root, staging: Staging, files: NewFiles, joined: memoryview) -> None:
        self._area, self._root, self._staging, self._joined = area, root, staging, joined
        self.files = files
        self._staged: Dict[int, Staged] = {}
        self._failures: Dict[int, Exception] = {}

    def stage(self) -> List[Staged]:
        """Stage every file; returns those that could be."""
        joined, create, digest_of = self._joined, self._staging.create, content.digest
        columns = zip(self.files.digests, self.files.sizes, self.files.mtimes_ns)  # noqa: B905 - 3.8 has no strict
        end = 0
        for number, (digest, size, mtime_ns) in enumerate(columns):
            start, end = end, end + size
            data = joined[start:end]
            try:
                if digest_of(data) != digest:
                    raise Refusal("changed", "the content does not match its digest")
                staged = self._staged[number] = create(data)
                staged.set_mtime(mtime_ns)
            except (OSError, Refusal) as error:
                self._failures[number] = error
        return list(self._staged.values())

    def appear(self) -> List[Union[os.stat_result, Exception, None]]:
        """Give each file its name. Returns what lstat says of it then, or why it has none, or None where something is
        there, or the disk cannot give a name only if nothing is there: that one is to be taken."""
        root, failures = self._root, self._failures
        results: List[Union[os.stat_result, Exception, None]] = []
        folder, above = -1, None
        for number, path in enumerate(self.files.paths):
            arrived: Union[os.stat_result, Exception, None] = failures.get(number)
            if arrived is None and self._staged[number].path is None:
                try:
                    place, _slash, name = path.rpartition("/")
                    if place == above:
                        (encoded,) = parts_of(name)
                    else:
                        folder, encoded = root.parent(path)
                        above = place
                    arrived = self._appear(number, folder, encoded)
                    OWN.note(self._area.root + b"/" + encode(path), arrived)
                except FileExistsError:
                    pass
                except (OSError, Refusal) as error:
                    arrived = error
            results.append(arrived)
        return results

    def take(self, number: int) -> Staged:
        """What was staged for the file of that number; it belongs to the caller."""
        return self._staged.pop(number)

    def close(self) -> None:
        """Let go of everything that was not taken."""
        for staged in self._staged.values():
            staged.close()

    def _appear(self, number: int, folder: int, name: bytes) -> os.stat_result:
        staged = self._staged[number]
        if self.files.executables[number]:
            staged.set_executable(True)
        staged.appear(folder, name)
        return os.fstat(staged.descriptor)
