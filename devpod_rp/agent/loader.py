"""The first source the pod's Python sees: makes the others importable from memory, so that no file is written."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Dict, Optional


class Sources:
    """Finds and loads modules whose sources came over the wire; a package is a name that others begin with."""

    def __init__(self, sources: Dict[str, str]) -> None:
        self._sources = sources

    def add(self, sources: Dict[str, str]) -> None:
        # In one step: another thread may be going through the names while it imports.
        self._sources = dict(self._sources, **sources)

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Optional[ModuleSpec]:
        if name not in self._sources:
            return None
        is_package = any(other.startswith(name + ".") for other in self._sources)
        return ModuleSpec(name, self, origin="<sent> " + name, is_package=is_package)  # type: ignore[arg-type]

    def create_module(self, _spec: ModuleSpec) -> Optional[ModuleType]:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        exec(compile(self._sources[name], "<sent> " + name, "exec"), module.__dict__)  # noqa: S102 - our own source

    def get_source(self, name: str) -> Optional[str]:
        """What lets a traceback from the pod show its lines."""
        return self._sources.get(name)


def install(sources: Dict[str, str]) -> Sources:
    """Make *sources* (module name -> source) importable, before anything that lies on the pod's disk."""
    sent = Sources(sources)
    sys.meta_path.insert(0, sent)
    return sent
