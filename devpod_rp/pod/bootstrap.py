"""Starting the agent through one command: find a Python, hand it the sources over its standard input.

Nothing is written on the pod and nothing of the pod's configuration is used: ``-I -S`` ignores PYTHON* variables, the
current folder, user packages and sitecustomize; ``-X utf8`` makes names the same whatever the locale says.
"""

from __future__ import annotations

import functools
import json
import shlex
import zlib
from collections.abc import Container
from importlib import resources

from devpod_rp.agent.machine.container import AGENT_MARK
from devpod_rp.agent.operations import ROOMS_AT_THE_START

_AGENT = "devpod_rp.agent"

# In a session without a login shell, PATH may lack the places where images keep their Python.
_CANDIDATES = (
    "python3",
    *(f"python3.{minor}" for minor in range(14, 7, -1)),
    "/usr/bin/python3",
    "/usr/local/bin/python3",
    "/opt/*/bin/python3",
    "/venv/bin/python3",
)
NO_PYTHON = "devpod_rp: no Python 3.8 or newer here"
_NO_PYTHON_EXIT_CODE = 127

# "-V" answers without starting the interpreter, in a millisecond; a shim without a version behind it does not match.
_FIND_AND_RUN = (
    f"for p in {' '.join(_CANDIDATES)}; do "
    'case "$("$p" -V 2>/dev/null </dev/null)" in '
    '"Python 3."[89]*|"Python 3."[1-9][0-9]*) exec "$p" -X utf8 -I -S -u -c "$1" "$0";; '
    "esac; done; "
    f'echo "{NO_PYTHON}" >&2; exit {_NO_PYTHON_EXIT_CODE}'
)


def greeting(nonce: str) -> bytes:
    """What the agent writes before its first frame; the NUL and *nonce* keep it apart from what a shell may echo."""
    return b"\n\0devpod_rp agent " + nonce.encode("ascii") + b"\n"


def command(payload_bytes: int) -> str:
    """The command for an SSH exec channel, for any login shell: one line, nothing in it but plain quoting."""
    # The stream is opened once and handed on, because its buffer may already hold the first request.
    first = (
        f'import os,zlib;stream=os.fdopen(os.dup(0),"rb",262144);exec(zlib.decompress(stream.read({payload_bytes})))'
    )
    return f"exec /bin/sh -c {shlex.quote(_FIND_AND_RUN)} {AGENT_MARK} {shlex.quote(first)}"


def payload(nonce: str) -> bytes:
    """What the command reads first: the loader, the sources that the agent starts with, and the call that starts it."""
    start = f"from devpod_rp.agent.main import main\nmain(stream, {greeting(nonce)!r}, sent.add)\n"
    common, compressor = _common_to_all_payloads()
    compressor = compressor.copy()
    return common + compressor.compress(start.encode("ascii")) + compressor.flush()


@functools.lru_cache(maxsize=1)
def other_rooms() -> bytes:
    """The sources that `payload` does not have, as the agent takes them; see `agent.operations.SOURCES`."""
    known = _sources(_AGENT, ROOMS_AT_THE_START)
    others = {name: source for name, source in _sources(_AGENT, None).items() if name not in known}
    return zlib.compress(json.dumps(others).encode("ascii"), 6)


def watchdog_program() -> bytes:
    """The program of the watchdog, as the agent's op ``watchdog.order`` takes it."""
    return zlib.compress(
        (_program() + "from devpod_rp.agent.watchdog.program import main\nmain()\n").encode("utf-8"), 6
    )


def program(module: str, request: bytes) -> tuple[str, bytes]:
    """The command and its input that run ``main`` of agent module *module* (``servers.serving``) on *request*."""
    start = f"from devpod_rp.agent.{module} import main\nmain(stream)\n"
    sources = zlib.compress((_program() + start).encode("utf-8"), 6)
    return command(len(sources)), sources + request


def emergency_program() -> bytes:
    """The program of the emergency rescue, as the agent's op ``emergency.arm`` takes it."""
    return (_program() + "from devpod_rp.agent.rescue.emergency import main\nmain()\n").encode("utf-8")


@functools.lru_cache(maxsize=1)
def _common_to_all_payloads() -> tuple[bytes, zlib._Compress]:
    """What all payloads begin with, compressed, and the state in which another end can be added to it."""
    compressor = zlib.compressobj(6)
    return compressor.compress(_program(ROOMS_AT_THE_START).encode("utf-8")), compressor


@functools.lru_cache(maxsize=2)
def _program(rooms: tuple[str, ...] | None = None) -> str:
    """The loader with the agent's sources: those of *rooms* (None: of all) and of what lies in no room."""
    sources = {"devpod_rp": "", **_sources(_AGENT, rooms)}
    loader = sources.pop(f"{_AGENT}.loader")
    return f"{loader}\nsent = install({sources!r})\n"


def _sources(package: str, rooms: Container[str] | None) -> dict[str, str]:
    """Module name -> source, of *package* and those of its *rooms* (None: all of them) with everything in them."""
    found: dict[str, str] = {}
    for entry in resources.files(package).iterdir():
        name, dot, suffix = entry.name.rpartition(".")
        if dot and suffix == "py":
            found[package if name == "__init__" else f"{package}.{name}"] = entry.read_text(encoding="utf-8")
        elif entry.is_dir() and entry.name != "__pycache__" and (rooms is None or entry.name in rooms):
            found.update(_sources(f"{package}.{entry.name}", None))
    return found
