"""Reading ``devcontainer.json``: where it is found, what it says, with variables replaced. Contact with nothing else.

After the specification of containers.dev (github.com/devcontainers/spec); where that leaves a case open, as its
reference implementation does (github.com/devcontainers/cli).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from devpod_rp.errors import ConfigurationError
from devpod_rp.spec import jsonc
from devpod_rp.spec.devcontainer_variables import Places, substituted

Stage = Literal[
    "initializeCommand",
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
    "postStartCommand",
    "postAttachCommand",
]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""The lifecycle hooks in the order in which they run; the first runs on this machine, the others on the pod."""

Command = str | tuple[str, ...]
"""For ``/bin/sh -c`` if text, else a program and its arguments."""

NONE = "none"
"""Instead of a file's name: the project's devcontainer.json is not for its pod."""

_SIZE = re.compile(r"(\d+)([tgmk]b)?")
_UNITS = {None: 1, "kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40}
_EXTENSION_REMOVED = "-"


class SeveralDevcontainers(ConfigurationError):
    """The project has several ``.devcontainer/<folder>/devcontainer.json`` and none that comes before them."""

    kind = "several-devcontainers"


@dataclass(frozen=True)
class GpuRequirement:
    """*optional* does without; *cores* counts those of one GPU, *memory* is in bytes; None: any."""

    optional: bool = False
    cores: int | None = None
    memory: int | None = None


@dataclass(frozen=True)
class HostRequirements:
    """The least that the host must have: *memory* and *storage* in bytes, None where nothing is asked.

    *gpu* None: not mentioned, False: none wanted.
    """

    cpus: int | None = None
    memory: int | None = None
    storage: int | None = None
    gpu: GpuRequirement | Literal[False] | None = None


@dataclass(frozen=True)
class Devcontainer:
    """One file, checked, variables replaced. *raw* is all of it, for properties that have no field here.

    A *remote_env* value of None unsets the variable. *labels* name forwarded ports; *hooks* have for each stage the
    commands by name (empty name: the only one), which run side by side.
    """

    path: Path
    document: jsonc.Document
    raw: dict[str, Any]
    image: str | None
    container_env: dict[str, str]
    remote_env: dict[str, str | None]
    remote_user: str | None
    workspace_folder: str | None
    forward_ports: tuple[int | str, ...]
    labels: dict[str, str]
    requirements: HostRequirements
    extensions: tuple[str, ...]
    settings: dict[str, Any]
    hooks: dict[Stage, dict[str, Command]]
    wait_for: Stage

    def where(self, *keys: str) -> str:
        """File and line where *keys* stands, for a person."""
        return f"{self.path}:{self.document.line_of(keys)}"


def find(folder: Path) -> Path | None:
    """The project's file in the order of the specification; None if it has none.

    Raises:
        SeveralDevcontainers: only files one folder deeper are there, and more than one.
    """
    inside = folder / ".devcontainer"
    for path in (inside / "devcontainer.json", folder / ".devcontainer.json"):
        if path.is_file():
            return path
    deeper = sorted(inside.glob("*/devcontainer.json"))
    if len(deeper) > 1:
        names = ", ".join(path.relative_to(folder).as_posix() for path in deeper)
        raise SeveralDevcontainers(
            f"{folder} has several: {names}.",
            hint=f'name one in devpod-rp.toml: devcontainer = "{deeper[0].relative_to(folder).as_posix()}"; '
            'or "none" for none of them.',
        )
    return deeper[0] if deeper else None


def read(path: Path, folder: Path, *, workspace: str, environ: Mapping[str, str] = os.environ) -> Devcontainer:
    """What *path* says about the project in *folder*, which is at *workspace* on the pod unless the file says where.

    Raises:
        ConfigurationError: it cannot be read, is no JSON, or a value is of the wrong kind; names file and line.
    """
    try:
        document = jsonc.parse(path.read_text(encoding="utf-8"))
    except jsonc.NotJson as error:
        raise ConfigurationError(f"{path}:{error.line}: {error}.", hint="mend that line.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}", hint="mend or remove the file.") from error
    if not isinstance(document.value, dict):
        raise ConfigurationError(f"{path}:1: is no object.", hint="the file begins with { and ends with }.")
    places = Places(folder=folder, config_file=path, workspace=workspace, environ=environ)
    folder_on_pod = substituted(document.value.get("workspaceFolder"), places)
    if isinstance(folder_on_pod, str):
        places = Places(folder=folder, config_file=path, workspace=folder_on_pod, environ=environ)
    return _Checked(path, document, substituted(document.value, places)).devcontainer()


class _Checked:
    """The values of one file, each refused with its line if it is of the wrong kind."""

    def __init__(self, path: Path, document: jsonc.Document, raw: dict[str, Any]) -> None:
        self._path = path
        self._document = document
        self._raw = raw

    def devcontainer(self) -> Devcontainer:
        customized = self._table("customizations", "vscode")
        legacy = self._raw.get("extensions", []), self._raw.get("settings", {})
        ports = self._value(list, "a list", "forwardPorts") or []
        for index, port in enumerate(ports):
            if isinstance(port, bool) or not isinstance(port, (int, str)):
                raise self._wrong('a number or "host:port"', "forwardPorts", str(index))
        attributes = self._table("portsAttributes")
        return Devcontainer(
            path=self._path,
            document=self._document,
            raw=self._raw,
            image=self._text("image"),
            container_env={name: str(value) for name, value in self._texts("containerEnv", nullable=False).items()},
            remote_env=self._texts("remoteEnv", nullable=True),
            remote_user=self._text("remoteUser") or self._text("containerUser"),
            workspace_folder=self._text("workspaceFolder"),
            forward_ports=tuple(ports),
            labels={
                port: label
                for port in attributes
                if (label := self._value(str, "text", "portsAttributes", port, "label")) is not None
            },
            requirements=self._requirements(),
            extensions=self._extensions(customized.get("extensions", legacy[0])),
            settings=dict(customized.get("settings", legacy[1])),
            hooks={stage: commands for stage in STAGES if (commands := self._hook(stage))},
            wait_for=self._wait_for(),
        )

    def _requirements(self) -> HostRequirements:
        asked = self._table("hostRequirements")
        gpu = asked.get("gpu")
        found: GpuRequirement | Literal[False] | None
        if gpu is None or gpu is False:
            found = gpu
        elif gpu is True or gpu == "optional":
            found = GpuRequirement(optional=gpu == "optional")
        elif isinstance(gpu, dict):
            found = GpuRequirement(
                cores=self._count("hostRequirements", "gpu", "cores"),
                memory=self._bytes("hostRequirements", "gpu", "memory"),
            )
        else:
            raise self._wrong('true, false, "optional" or an object', "hostRequirements", "gpu")
        return HostRequirements(
            cpus=self._count("hostRequirements", "cpus"),
            memory=self._bytes("hostRequirements", "memory"),
            storage=self._bytes("hostRequirements", "storage"),
            gpu=found,
        )

    def _extensions(self, names: object) -> tuple[str, ...]:
        """The extensions to have; ``-id`` takes one away again that something else put in."""
        keys = ("customizations", "vscode", "extensions") if "customizations" in self._raw else ("extensions",)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise self._wrong("a list of names", *keys)
        removed = {name[1:].lower() for name in names if name.startswith(_EXTENSION_REMOVED)}
        kept = [name for name in names if not name.startswith(_EXTENSION_REMOVED) and name.lower() not in removed]
        return tuple(dict.fromkeys(kept))

    def _hook(self, stage: Stage) -> dict[str, Command]:
        said = self._raw.get(stage)
        if said is None:
            return {}
        named = said if isinstance(said, dict) else {"": said}
        return {name: self._command(each, stage, name) for name, each in named.items()}

    def _command(self, said: object, stage: Stage, name: str) -> Command:
        if isinstance(said, str):
            return said
        if isinstance(said, list) and said and all(isinstance(word, str) for word in said):
            return tuple(said)
        raise self._wrong("text, a list of texts, or an object of those", stage, *filter(None, [name]))

    def _wait_for(self) -> Stage:
        said = self._raw.get("waitFor", "updateContentCommand")
        found = next((stage for stage in STAGES if stage == said), None)
        if found is None:
            raise self._wrong(f"one of {', '.join(STAGES)}", "waitFor")
        return found

    def _table(self, *keys: str) -> dict[str, Any]:
        return self._value(dict, "an object", *keys) or {}

    def _text(self, key: str) -> str | None:
        text: str | None = self._value(str, "text", key)
        return text

    def _texts(self, key: str, *, nullable: bool) -> dict[str, str | None]:
        table = self._table(key)
        for name, value in table.items():
            if not isinstance(value, str) and not (nullable and value is None):
                raise self._wrong("text, or null" if nullable else "text", key, name)
        return table

    def _count(self, *keys: str) -> int | None:
        count: int | None = self._value(int, "a whole number", *keys)
        if count is not None and (isinstance(count, bool) or count < 1):
            raise self._wrong("a whole number above 0", *keys)
        return count

    def _bytes(self, *keys: str) -> int | None:
        said = self._value((str, int), "a size such as 16gb", *keys)
        match = _SIZE.fullmatch(str(said).lower()) if said is not None else None
        if said is not None and match is None:
            raise self._wrong("a size such as 16gb", *keys)
        return int(match[1]) * _UNITS[match[2]] if match else None

    def _value(self, kind: type | tuple[type, ...], spoken: str, *keys: str) -> Any:
        place: Any = self._raw
        for depth, key in enumerate(keys):
            if not isinstance(place, dict):
                raise self._wrong("an object", *keys[:depth])
            place = place.get(key)
            if place is None:
                return None
        if not isinstance(place, kind):
            raise self._wrong(spoken, *keys)
        return place

    def _wrong(self, wanted: str, *keys: str) -> ConfigurationError:
        where = f"{self._path}:{self._document.line_of(keys)}"
        return ConfigurationError(f"{where}: {'.'.join(keys)} must be {wanted}.", hint="change that value.")
