"""The ``${…}`` of a devcontainer.json. Pure."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_VARIABLE = re.compile(r"\$\{(.*?)\}")
_BASE32 = "0123456789abcdefghijklmnopqrstuv"
_ID_LENGTH = 52


@dataclass(frozen=True)
class Places:
    """What variables stand for: the project's *folder* here, and the *workspace* on the pod."""

    folder: Path
    config_file: Path
    workspace: str
    environ: Mapping[str, str]


def substituted(value: Any, places: Places) -> Any:
    """*value* with every variable in its texts replaced, except ``containerEnv`` ones, which only the pod knows.

    A variable that nobody knows stays as it is written, as in the reference implementation.
    """
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: _replacement(match, places), value)
    if isinstance(value, list):
        return [substituted(each, places) for each in value]
    if isinstance(value, dict):
        return {key: substituted(each, places) for key, each in value.items()}
    return value


def with_container_env(text: str, known: Mapping[str, str]) -> str | None:
    """*text* with its ``${containerEnv:…}`` taken from *known*; None if one is not there."""
    missing = False

    def replacement(match: re.Match[str]) -> str:
        nonlocal missing
        kind, *words = match[1].split(":")
        if kind != "containerEnv" or not words:
            return match[0]
        if words[0] in known:
            return known[words[0]]
        missing = True
        return ""

    replaced = _VARIABLE.sub(replacement, text)
    return None if missing else replaced


def devcontainer_id(folder: Path, config_file: Path) -> str:
    """What ``${devcontainerId}`` stands for: the same for the same files on this machine, as the specification says."""
    labels = {"devcontainer.config_file": str(config_file), "devcontainer.local_folder": str(folder)}
    text = json.dumps(labels, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    digits = ""
    while number:
        number, digit = divmod(number, 32)
        digits = _BASE32[digit] + digits
    return digits.rjust(_ID_LENGTH, "0")


def _replacement(match: re.Match[str], places: Places) -> str:
    # The default ends at the next colon: so the reference implementation reads it, and nobody shall get another value.
    kind, *words = match[1].split(":")
    if kind in ("localEnv", "env") and words:
        found = _local(words[0], places.environ)
        return found if found is not None else words[1] if len(words) > 1 else ""
    plain = {
        "localWorkspaceFolder": str(places.folder),
        "localWorkspaceFolderBasename": places.folder.name,
        "containerWorkspaceFolder": places.workspace,
        "containerWorkspaceFolderBasename": posixpath.basename(places.workspace),
        "devcontainerId": devcontainer_id(places.folder, places.config_file),
    }
    return plain.get(kind, match[0])


def _local(name: str, environ: Mapping[str, str]) -> str | None:
    if os.name == "nt":
        return next((value for key, value in environ.items() if key.lower() == name.lower()), None)
    return environ.get(name)
