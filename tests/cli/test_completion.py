"""Tab: what a real bash and PowerShell's side of the protocol are offered."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.fixture
def program(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``devpod-rp`` on PATH, and two environments."""
    script = folder.parent / "bin" / "devpod-rp"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m devpod_rp "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    for name in ("trainer", "notebook"):
        (folder.parent / "home" / "state" / "environments" / name).mkdir(parents=True)
    return script


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    "typed, offered",
    [
        ("logi", {"login"}),
        ("stop ", {"trainer", "notebook"}),
        ("ssh tr", {"trainer"}),
        ("up tr", {"trainer"}),
        ("config sh", {"show"}),
        ("completion po", {"powershell"}),
        ("stop --fo", {"--force"}),
    ],
)
def test_bash_is_offered(program: Path, typed: str, offered: set[str]) -> None:
    words = ["devpod-rp", *typed.split(" ")]
    quoted = " ".join(f"'{word}'" for word in words)
    session = (
        'eval "$(devpod-rp completion bash)"\n'
        f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n"
        '_devpod_rp_completion devpod-rp; printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(["bash", "-c", session], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == offered


@pytest.mark.slow
def test_powershell_is_offered_values_with_their_help(program: Path) -> None:
    asked = {"_DEVPOD_RP_COMPLETE": "powershell_complete", "COMP_WORDS": "devpod-rp ssh tr", "COMP_CWORD": "tr"}
    done = subprocess.run([program], env={**os.environ, **asked}, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["trainer\t"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_every_shell_has_a_script(command: Run, shell: str) -> None:
    shown = command("completion", shell)
    assert shown.code == 0
    assert "_DEVPOD_RP_COMPLETE" in shown.stdout
    assert command("completion", shell, "--json").json["script"].strip() == shown.stdout.strip()
