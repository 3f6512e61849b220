"""The commented ``devpod-rp.toml`` that ``init`` writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devpod_rp import paths
from devpod_rp.agent.atomic import write_atomically
from devpod_rp.errors import ConfigurationError

_COMMENTS = {
    "name": "the environment's name; the SSH host is <name>.devpod",
    "template": "where every value that is not said here comes from: devpod-rp templates list",
    "gpu": "GPU types in the order you like them; the first one in stock is taken",
    "cpu": "a CPU flavor instead of GPUs",
    "vcpu": "a power of two; memory follows from it",
    "max_price": "USD per hour for the whole pod; dearer offers are not taken",
    "container_disk_gb": "everything outside the volume; wiped at every stop",
    "idle_stop": "stops the pod when neither GPU, CPU, SSH, a Jupyter kernel nor an editor used it for so long",
    "max_runtime": "stops the pod when it has run for so long",
    "max_cost": "USD; stops the pod when this run, disks included, has cost so much",
    "lid_stop": "stops the pod when this machine is gone for so long",
    "kind": "disk (dies with the pod), network (outlives it) or none",
    "size_gb": "billed while the pod is stopped too",
    "mode": "one-way-safe: from here to the pod; what the pod changed is never touched",
    "ignore": "more patterns, as in .gitignore",
}


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

    def fill(table: tomlkit.TOMLDocument | Table, entries: Mapping[str, Any]) -> None:
        for key, value in entries.items():
            item = tomlkit.item(value)
            if key in _COMMENTS:
                item.comment(_COMMENTS[key])
            table.add(key, item)

    fill(document, {key: value for key, value in values.items() if not isinstance(value, Mapping)})
    for key, entries in values.items():
        if isinstance(entries, Mapping):
            table = tomlkit.table()
            fill(table, entries)
            document.add(tomlkit.nl())
            document.add(key, table)
    write_atomically(path, tomlkit.dumps(document).encode("utf-8"), mode=0o644)
    return path
