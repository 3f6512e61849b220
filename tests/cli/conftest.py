"""The command line in this process: as the entry point calls it, with a home and a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devpod_rp.cli.app import run
from tests.localcloud.conftest import LocalCloud
from tests.localcloud.owned import owned_cloud


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
    for name in ("DEVPOD_RP_CLOUD", "RUNPOD_API_KEY", "RUNPOD_API_URL"):
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


@pytest.fixture
def cloud(folder: Path) -> Iterator[LocalCloud]:
    """The person's own local cloud, already running; its pods are doubles."""
    with owned_cloud(folder.parent) as running:
        yield running


@pytest.fixture
def account(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> LocalCloud:
    """The same server in RunPod's place: the person has a key; that a local cloud answers is not theirs to know."""
    monkeypatch.setenv("RUNPOD_API_URL", cloud.url)
    monkeypatch.setenv("RUNPOD_API_KEY", cloud.token)
    return cloud
