"""Templates: named starting points, ours and the user's own, each a small TOML file."""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from devpod_rp import paths
from devpod_rp.errors import ConfigurationError
from devpod_rp.spec.toml_file import read_toml

DEFAULT = "pytorch"


@dataclass(frozen=True)
class Template:
    """*values* are keys of the configuration, as they stand in the file; *path* is the file."""

    name: str
    description: str
    path: Path
    values: dict[str, Any]

    @property
    def builtin(self) -> bool:
        return self.path.parent == _builtin_dir()


def list_templates() -> list[Template]:
    """Every template by name; a user's own hides ours of the same name.

    Raises:
        ConfigurationError: a template's file cannot be read; the message names it.
    """
    found: dict[str, Template] = {}
    for folder in (_builtin_dir(), paths.user_templates_dir()):
        if folder.is_dir():
            for path in sorted(folder.glob("*.toml")):
                found[path.stem] = _read(path)
    return [found[name] for name in sorted(found)]


def load_template(name: str) -> Template:
    """The template called *name*.

    Raises:
        ConfigurationError: there is none; the hint names the nearest.
    """
    everything = {template.name: template for template in list_templates()}
    if name in everything:
        return everything[name]
    near = difflib.get_close_matches(name, everything, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ConfigurationError(f"There is no template {name!r}.", hint=f"{hint}There are: {', '.join(everything)}.")


def _read(path: Path) -> Template:
    values = read_toml(path)
    description = values.pop("description", "")
    if not isinstance(description, str):
        raise ConfigurationError(f"{path}: description must be text.", hint="write it in quotes.")
    return Template(path.stem, description, path, values)


def _builtin_dir() -> Path:
    # The wheel carries the templates inside the package, a checkout has them at its top.
    installed = Path(str(resources.files("devpod_rp"))) / "templates"
    return installed if installed.is_dir() else Path(sys.modules["devpod_rp"].__file__ or "").parents[1] / "templates"
