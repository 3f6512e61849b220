"""The Python that runs our own programs in a pod: the one that runs us, because AsyncSSH's binaries fit no other."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from devpod_rp.localcloud.sandbox.layout import PYTHON

OLDEST = (3, 8)  # what the agent runs on
_LOADER = re.compile(r"^(ld-linux.*|ld-musl-.*|ld64?\.so.*|ld-\d.*)$")


@dataclass(frozen=True)
class Interpreter:
    """*command* starts it in the pod; *prefix* is a directory of the host to be found there as `PYTHON`, or None."""

    command: tuple[str, ...]
    prefix: Path | None


def running(system: tuple[str, ...]) -> Interpreter:
    """The interpreter of this process, for a pod that has the host's top-level directories *system*."""
    binary = Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()
    if binary.parts[1] in system:
        return Interpreter((str(binary),), None)
    prefix = Path(sys.base_prefix).resolve()
    inside = Path(PYTHON) / binary.relative_to(prefix)
    libraries = sorted({path.parent for path in _mapped_files() if path.is_relative_to(prefix) and ".so" in path.name})
    loader = next((path for path in _mapped_files() if _LOADER.match(path.name)), None)
    if not libraries or loader is None:
        return Interpreter((str(inside),), prefix)
    # Through the loader, not LD_LIBRARY_PATH: nothing of this shall be in the environment of the pod's PID 1.
    where = ":".join(str(Path(PYTHON) / path.relative_to(prefix)) for path in libraries)
    return Interpreter((str(loader), "--library-path", where, str(inside)), prefix)


def system_python() -> Path | None:
    """A ``python3`` of the system that the agent can run on, None without one."""
    for directory in (Path("/usr/bin"), Path("/usr/local/bin")):
        name = (directory / "python3").resolve()
        version = re.fullmatch(r"python3\.(\d+)", name.name)
        if name.exists() and name.is_relative_to("/usr") and version and int(version[1]) >= OLDEST[1]:
            return directory / "python3"
    return None


def _mapped_files() -> list[Path]:
    """Every file this process has mapped, libraries included, in no particular order (proc(5), /proc/PID/maps)."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    names = dict.fromkeys(line[line.index("/") :] for line in lines if "/" in line)
    return [Path(name) for name in names]
