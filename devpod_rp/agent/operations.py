"""Which operations there are and which module carries each of them out, loaded when one of its is first asked for.

The sources come over the wire and are compiled on the pod. All of them take a third of a second there, while a
connection seldom needs half of them: an agent starts with those of a synchronisation, and gets the others when one of
their operations is first asked for.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Dict, Generic, Iterator, Mapping, Optional, Tuple, TypeVar

from devpod_rp.agent.wire import Handler, Standing

ROOMS_AT_THE_START = ("sync", "files", "machine")
"""Those that an agent starts with: what synchronises, and all that it is built on."""

SOURCES = "system.sources"
"""What brings the sources of all other rooms, as zlib-compressed JSON (module name -> source). It has no answer."""

ASKED_FOR_FIRST = ("sync.roots", "sync.lease", "sync.survey", "sync.watching")
"""The modules with which a synchronisation begins."""

_Carried = TypeVar("_Carried")

_ONE_BY_ONE = {
    "sync.roots": ("root.open", "root.room"),
    "sync.lease": ("lease.claim", "lease.release"),
    "sync.survey": ("files.survey", "files.digests"),
    "sync.watching": ("files.mark",),
    "sync.applying": ("files.apply", "files.stage", "files.discard"),
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
_STANDING = {
    "sync.watching": ("files.watch",),
    "sync.applying": ("files.settle",),
    "rescue.stakes": ("stakes.look",),
}


class Operations(Mapping[str, _Carried], Generic[_Carried]):
    """Name -> what carries it out, found in *table* of the module that *modules* says."""

    def __init__(self, modules: Mapping[str, Tuple[str, ...]], table: str) -> None:
        self._module_of = {name: module for module, names in modules.items() for name in names}
        self._table = table
        self._loaded: Dict[str, _Carried] = {}

    def room(self, name: str) -> Optional[str]:
        """In which room *name* is carried out; None: nowhere."""
        return self._module_of[name].partition(".")[0] if name in self else None

    def __getitem__(self, name: str) -> _Carried:
        if name not in self._loaded:
            module = load(self._module_of[name])
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


def needs_all_rooms(name: str) -> bool:
    """Whether *name* is carried out with more than what an agent starts with."""
    return (ONE_BY_ONE.room(name) or STANDING.room(name)) not in ROOMS_AT_THE_START


def load(module: str) -> ModuleType:
    return importlib.import_module("devpod_rp.agent." + module)
