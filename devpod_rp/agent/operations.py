"""Which operations there are and which module carries each of them out, loaded when one of its is first asked for.

The sources come over the wire and are compiled on the pod. All of them take a third of a second there, while a
connection seldom needs half of them.
"""

from __future__ import annotations

import importlib
from typing import Dict, Generic, Iterator, Mapping, Tuple, TypeVar

from devpod_rp.agent.wire import Handler, Standing

_Carried = TypeVar("_Carried")

_ONE_BY_ONE = {
    "sync.roots": ("root.open", "root.room"),
    "sync.lease": ("lease.claim", "lease.release"),
    "sync.survey": ("files.survey", "files.digests"),
    "sync.watching": ("files.mark",),
    "sync.applying": ("files.apply", "files.settle", "files.stage", "files.discard"),
    "sync.fetch": ("files.fetch", "files.read", "trash.list"),
    "sync.reuse": ("files.blocks", "files.reuse"),
    "exposure.examine": ("exposure.baseline", "exposure.scan", "exposure.copies", "exposure.digests"),
    "exposure.holdings": ("volume.holdings", "volume.digests", "volume.repositories"),
    "replay.running": ("replay.note", "replay.offer", "replay.run", "replay.decline"),
    "rescue.rescues": ("rescue.copy", "rescue.list"),
    "rescue.restoring": ("rescue.restore",),
    "rescue.taking": ("take.look", "take.whole", "take.slice", "take.digest"),
    "rescue.emergency": ("emergency.arm",),
    "rescue.persisting": ("persist.link",),
    "sessions.hostkeys": ("hostkeys.keep",),
    "sessions.variables": ("sessions.prepare",),
    "servers.keeping": ("servers.choose", "servers.settle"),
    "disk.operations": ("disk.census", "disk.keep", "disk.list", "disk.restore"),
    "machine.driver": ("machine.gpus",),
    "watchdog.post": ("watchdog.order", "watchdog.state", "watchdog.say"),
}
_STANDING = {"sync.watching": ("files.watch",), "rescue.stakes": ("stakes.look",)}


class Operations(Mapping[str, _Carried], Generic[_Carried]):
    """Name -> what carries it out, found in *table* of the module that *modules* says."""

    def __init__(self, modules: Mapping[str, Tuple[str, ...]], table: str) -> None:
        self._module_of = {name: module for module, names in modules.items() for name in names}
        self._table = table
        self._loaded: Dict[str, _Carried] = {}

    def __getitem__(self, name: str) -> _Carried:
        if name not in self._loaded:
            module = importlib.import_module("devpod_rp.agent." + self._module_of[name])
            self._loaded[name] = getattr(module, self._table)[name]
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._module_of

    def __iter__(self) -> Iterator[str]:
        return iter(self._module_of)

    def __len__(self) -> int:
        return len(self._module_of)


ONE_BY_ONE: Operations[Handler] = Operations(_ONE_BY_ONE, "OPERATIONS")
STANDING: Operations[Standing] = Operations(_STANDING, "STANDING")
