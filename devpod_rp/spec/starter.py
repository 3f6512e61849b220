"""The commented files that we write for the user: a project's ``devpod-rp.toml``, and templates of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devpod_rp import paths
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.errors import ConfigurationError
from devpod_rp.spec.meanings import MEANINGS
from devpod_rp.spec.sources import Loaded

_TEMPLATE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OF_THE_PROJECT = frozenset(("name", "cloud", "template", "devcontainer", "workspace", "volume.name"))
_OF_THE_USER = frozenset(("user defaults", "environment variable", "earlier flag", "flag"))


def write_starter(folder: Path, values: Mapping[str, Any], *, overwrite: bool = False) -> Path:
    """Write ``devpod-rp.toml`` with *values* (tables as nested mappings), each with a comment that explains it.

    Raises:
        ConfigurationError: the file is there already and *overwrite* is false.
    """
    path = folder / paths.project_config_name()
    text = _commented("What this project's pod looks like; `devpod-rp up` reads it.", values)
    return _write(path, text, overwrite, mode=0o644)


def write_template(name: str, description: str, values: Mapping[str, Any], *, overwrite: bool = False) -> Path:
    """Write the user's template *name* with *values* (tables as nested mappings).

    Raises:
        ConfigurationError: *name* cannot be a file's; or there is such a template already and *overwrite* is false.
    """
    if not _TEMPLATE_NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} cannot be the name of a template.", hint="use letters, digits, dots, dashes and underscores."
        )
    heading = f'A template: `devpod-rp up --template {name}`, or template = "{name}" in a project.'
    text = _commented(heading, {"description": description, **values})
    # It may hold values of env.
    return _write(paths.user_templates_dir() / f"{name}.toml", text, overwrite, mode=0o600)


def of_any_project(loaded: Loaded) -> dict[str, Any]:
    """What *loaded* says (tables as nested mappings), except what belongs to one project or to the user."""
    spec = loaded.spec.model_dump(mode="json")
    values: dict[str, Any] = {}
    for key, kind in loaded.kinds.items():
        if key in _OF_THE_PROJECT or kind in _OF_THE_USER:
            continue
        table, dot, inner = key.partition(".")
        value = spec[table][inner] if dot else spec[table]
        if value is None:
            continue
        if dot:
            values.setdefault(table, {})[inner] = value
        else:
            values[table] = value
    return values


def _write(path: Path, text: str, overwrite: bool, mode: int) -> Path:
    if path.exists() and not overwrite:
        raise ConfigurationError(f"{path} exists already.", hint="edit it, or --force to write it anew.")
    write_atomically(path, text.encode("utf-8"), mode=mode)
    return path


def _commented(heading: str, values: Mapping[str, Any]) -> str:
    import tomlkit
    from tomlkit.items import Table

    document = tomlkit.document()
    document.add(tomlkit.comment(heading))

    def fill(table: tomlkit.TOMLDocument | Table, entries: Mapping[str, Any], above: str = "") -> None:
        for key, value in entries.items():
            item = tomlkit.item(value)
            if above + key in MEANINGS:
                item.comment(MEANINGS[above + key])
            table.add(key, item)

    fill(document, {key: value for key, value in values.items() if not isinstance(value, Mapping)})
    for key, entries in values.items():
        if isinstance(entries, Mapping):
            table = tomlkit.table()
            fill(table, entries, f"{key}.")
            document.add(tomlkit.nl())
            document.add(key, table)
    return tomlkit.dumps(document)
