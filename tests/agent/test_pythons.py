"""The agent runs on whatever Python a pod has, from 3.8 on: every module of it, and a synchronisation over it."""

from __future__ import annotations

import os
import pkgutil
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import devpod_rp.agent
from tests.sync.conftest import Pair


def _python(minor: int) -> str | None:
    """A CPython 3.*minor* of this machine that starts: on PATH, or where pyenv puts them."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(f"python3.{minor}"), *map(str, sorted(pyenv.glob(f"3.{minor}.*/bin/python3")))]
    for candidate in found:
        if candidate is None:
            continue
        said = subprocess.run([candidate, "-I", "-V"], capture_output=True, text=True, check=False)
        if said.stdout.startswith(f"Python 3.{minor}."):
            return candidate
    return None


@pytest.fixture(params=range(8, 15), ids=lambda minor: f"3.{minor}")
def interpreter(request: pytest.FixtureRequest) -> str:
    path = _python(request.param)
    if path is None:
        pytest.skip(f"no Python 3.{request.param} here")
    return path


@pytest.fixture
def on(interpreter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """Two folders and an agent between them that *interpreter* runs."""
    places = tmp_path / "bin"
    places.mkdir()
    (places / "python3").symlink_to(interpreter)
    monkeypatch.setenv("PATH", f"{places}:{os.environ['PATH']}")
    pair = Pair(tmp_path, "two-way-safe")
    yield pair
    pair.close()


def test_every_module_of_the_agent_is_understood(interpreter: str) -> None:
    modules = [each.name for each in pkgutil.walk_packages(devpod_rp.agent.__path__, "devpod_rp.agent.")]
    assert len(modules) > 50
    package = Path(devpod_rp.agent.__file__).parents[2]
    program = f"import sys; sys.path.insert(0, {str(package)!r})\nimport " + ", ".join(modules)
    done = subprocess.run(
        [interpreter, "-I", "-S", "-B", "-W", "error::SyntaxWarning", "-c", program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_files_go_both_ways(on: Pair, interpreter: str) -> None:
    large = random.Random(1).randbytes(3 << 20)
    on.local.write("large.bin", large)
    on.local.write("src/model.py", "layers = 3\n")
    (on.local.root / "link").symlink_to("src/model.py")
    on.synced()
    assert on.link is not None
    assert os.path.realpath(interpreter).endswith(".".join(on.link.hello.python.split(".")[:2]))
    on.local.write("large.bin", large[:1_000_000] + b"new" + large[1_000_000:])
    on.pod.write("src/model.py", "layers = 4\n")
    on.pod.write("out/metrics.json", "{}")
    on.pod.delete("link")
    on.sync()
    assert on.local.files() == on.pod.files()
    assert on.local.read("src/model.py") == "layers = 4\n"
    assert (on.pod.root / "large.bin").read_bytes()[1_000_000:1_000_003] == b"new"
    assert "link" not in on.local.files()
    assert on.litter() == []
