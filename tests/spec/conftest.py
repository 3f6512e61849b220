"""A project folder and a home of their own for every test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from devpod_rp.spec.sources import Loaded, load

Load = Callable[..., Loaded]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEVPOD_RP_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "config" / "templates").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "My Project"
    folder.mkdir()
    return folder


@pytest.fixture
def project(folder: Path) -> Callable[[str], Path]:
    """Writes the project's ``devpod-rp.toml``."""

    def write(text: str) -> Path:
        path = folder / "devpod-rp.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def user_config(home: Path) -> Callable[[str], Path]:
    """Writes the user's ``config.toml``."""

    def write(text: str) -> Path:
        path = home / "config" / "config.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def user_template(home: Path) -> Callable[[str, str], Path]:
    """Writes a template of the user's own."""

    def write(name: str, text: str) -> Path:
        path = home / "config" / "templates" / f"{name}.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def loaded(folder: Path) -> Load:
    def loaded(environ: Mapping[str, str] | None = None, **flags: Any) -> Loaded:
        return load(folder, {key.replace("__", "."): value for key, value in flags.items()}, environ=environ or {})

    return loaded
