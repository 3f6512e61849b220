"""The command line in this process: as the entry point calls it, with a home and a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devpod_rp.cli.app import run


@dataclass(frozen=True)
class Outcome:
    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Exactly one document, nothing else."""
        return json.loads(self.stdout)


Run = Callable[..., Outcome]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project folder that commands run in; nothing of the person who runs the tests is seen or touched."""
    project = tmp_path / "project"
    project.mkdir()
    for name in ("RUNPOD_API_KEY", "RUNPOD_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DEVPOD_RP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DEVPOD_RP_SSH_CONFIG", str(tmp_path / "ssh_config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(project)
    return project


@pytest.fixture
def command(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> Outcome:
        capsys.readouterr()
        code = run(arguments)
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    return call
