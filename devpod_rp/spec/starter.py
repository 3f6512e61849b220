"""The commented ``devpod-rp.toml`` that ``init`` writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devpod_rp import paths
from devpod_rp.agent.atomic import write_atomically
from devpod_rp.errors import ConfigurationError
from devpod_rp.spec.meanings import MEANINGS


def write_starter(folder: Path, values: Mapping[str, Any], *, overwrite: bool = False) -> Path:
    """Write ``devpod-rp.toml`` with *values* (tables as nested mappings), each with a comment that explains it.

    Raises:
        ConfigurationError: the file is there already and *overwrite* is false.
    """
    import tomlkit
    from tomlkit.items import Table

    path = folder / paths.project_config_name()
    if path.exists() and not overwrite:
        raise ConfigurationError(f"{path} exists already.", hint="edit it, or --force to write it anew.")
    document = tomlkit.document()
    document.add(tomlkit.comment("What this project's pod looks like; `devpod-rp up` reads it."))

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
    write_atomically(path, tomlkit.dumps(document).encode("utf-8"), mode=0o644)
    return path
