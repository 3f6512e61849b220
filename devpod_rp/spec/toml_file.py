"""Reading TOML so that every complaint can name a line."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from devpod_rp.errors import ConfigurationError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_PART = r"""\s*"[^"]*"\s*|\s*'[^']*'\s*|[A-Za-z0-9_\- \t]+"""
_HEADER = re.compile(rf"\s*\[{{1,2}}((?:{_PART})(?:\.(?:{_PART}))*)\]")
_PAIR = re.compile(rf"((?:{_PART})(?:\.(?:{_PART}))*)=")


def read_toml(path: Path) -> dict[str, Any]:
    """The content of *path*.

    Raises:
        ConfigurationError: it cannot be read or is not TOML; the message names file and line.
    """
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}", hint="mend or remove the file.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}.", hint="mend that line.") from error
    return content


def line_of(path: Path, keys: tuple[str, ...], table: tuple[str, ...] = ()) -> int | None:
    """The line (from 1) where the value of *keys* stands, below the header of *table*; None if unclear."""
    wanted = (*table, *keys)
    inside: tuple[str, ...] = ()
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        header = _HEADER.match(line)
        if header:
            inside = _dotted(header[1])
            if inside == wanted:
                return number
            continue
        pair = _PAIR.match(line)
        if pair:
            here = (*inside, *_dotted(pair[1]))
            if here == wanted or (wanted[: len(here)] == here and "{" in line):
                return number
    return None


def _dotted(text: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in re.findall(_PART, text) if part.strip())
