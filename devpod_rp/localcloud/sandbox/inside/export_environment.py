"""Writes this process's environment as ``export NAME=value`` lines that a shell reads back unchanged.

usage: export_environment.py FILE
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

# RunPod's script leaves out PUBLIC_KEY. The others belong to the shell that is running; sourcing this file in a
# nested shell must not move it elsewhere, end a virtual environment's PATH or forget how deep it is.
_NOT_OURS = frozenset({"PUBLIC_KEY", "PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "TERM", "HOSTNAME", "_"})


def render(environ: dict[str, str]) -> str:
    names = sorted(name for name in environ if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name not in _NOT_OURS)
    return "".join(f"export {name}={shlex.quote(environ[name])}\n" for name in names)


def main(path: Path) -> None:
    content = render(dict(os.environ)).encode("utf-8", "surrogateescape")
    if path.exists() and path.read_bytes() == content:
        return  # a file that is not written again does not look changed
    # The values are secrets, and only root logs in.
    written = path.with_suffix(".new")
    descriptor = os.open(written, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    written.replace(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
