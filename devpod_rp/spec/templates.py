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
    files = _files()
    return [_read(files[name]) for name in sorted(files)]


def template_names() -> list[str]:
    """Every template's name; none of them is read."""
    return sorted(_files())


def load_template(name: str) -> Template:
    """The template called *name*.

    Raises:
        ConfigurationError: there is none (the hint names the nearest), or its file cannot be read.
    """
    files = _files()
    if name in files:
        return _read(files[name])
    near = difflib.get_close_matches(name, files, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ConfigurationError(f"There is no template {name!r}.", hint=f"{hint}There are: {', '.join(sorted(files))}.")


def load_builtin(name: str) -> Template:
    """Our own template called *name*, whatever the user's are called."""
    return _read(_builtin_dir() / f"{name}.toml")


def _files() -> dict[str, Path]:
    folders = (_builtin_dir(), paths.user_templates_dir())
    return {path.stem: path for folder in folders if folder.is_dir() for path in folder.glob("*.toml")}


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
