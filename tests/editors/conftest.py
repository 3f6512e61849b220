"""A machine with editors on it: real programs on a PATH of their own, which note how they were called."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from devpod_rp.editors.programs import Machine

_PROGRAM = """\
import json, sys
with open({record!r}, "a") as stream:
    stream.write(json.dumps(sys.argv[1:]) + "\\n")
"""


class Desk:
    """A user's machine; *platform* decides where programs may be besides PATH."""

    def __init__(self, base: Path, platform: str = "linux") -> None:
        self.base = base
        self.bin = base / "bin"
        self.bin.mkdir(parents=True)
        self._record = base / "calls"
        environ = {"PATH": str(self.bin), "LOCALAPPDATA": str(base / "AppData"), "ProgramFiles": str(base / "Files")}
        self.machine = Machine(environ, platform, (base / "Applications",))

    def install(self, name: str, then: str = "", at: Path | None = None) -> str:
        """A program that notes its arguments, and then runs *then* (Python)."""
        path = at or self.bin / name
        path.parent.mkdir(parents=True, exist_ok=True)
        script = path.with_name(path.name + ".py")
        script.write_text(_PROGRAM.format(record=str(self._record)) + then + "\n")
        path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I {shlex.quote(str(script))} "$@"\n')
        path.chmod(0o755)
        return str(path)

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in self._record.read_text().splitlines()] if self._record.exists() else []


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "desk")
