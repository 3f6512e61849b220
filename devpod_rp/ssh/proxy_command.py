"""The line that makes ``ssh`` connect through ``on_demand.py``, as every reader of SSH configurations takes it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from devpod_rp import paths
from devpod_rp.errors import ConfigurationError
from devpod_rp.ssh import on_demand

# What a command that ssh starts needs to know to find our files, wherever the editor that runs ssh came from.
_OUR_PLACES = ("DEVPOD_RP_HOME", "DEVPOD_RP_SSH_CONFIG")


def proxy_command(host: str, port: int, alias: str, name: str) -> str:
    """The ProxyCommand of *alias*, the environment *name*, which answers at *host* and *port* (0: it is stopped).

    Windows looks for no programs and runs no shell, some readers eat backslashes and know no %-tokens: an absolute path
    in double quotes, forward slashes and the address itself are what all of them take.

    Raises:
        ConfigurationError: a path of ours means something to a shell.
    """
    words = (
        Path(sys.executable).as_posix(),
        "-I",
        "-S",
        Path(on_demand.__file__).as_posix(),
        host,
        str(port),
        alias,
        name,
        (paths.environment_dir(name) / "auto-start").as_posix(),
        *(f"{each}={os.environ[each]}" for each in _OUR_PLACES if each in os.environ),
    )
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    if re.fullmatch(r"[\w.:-]+", word):
        return word
    portable = word.replace("\\", "/") if os.name == "nt" else word
    if re.search(r'["\\$`!\x00-\x1f\x7f]', portable):
        raise ConfigurationError(
            f"auto_start: {word!r} cannot be written as a command of an SSH configuration.",
            hint="set DEVPOD_RP_HOME to a folder with a plain name, or auto_start to false.",
        )
    return '"' + portable.replace("%", "%%") + '"'
