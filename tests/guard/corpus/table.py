"""The table of scenarios, read."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_BYTE = re.compile(r"\\x([89a-f][0-9a-f])")


@dataclass(frozen=True)
class Scenario:
    number: int
    name: str
    do: str
    outside: str = ""
    lost: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    dangling: tuple[str, ...] = ()
    unnamed: tuple[str, ...] = ()
    git: str = ""
    count: int = 0

    @property
    def here(self) -> str:
        return f"/root/corpus/{self.number}"

    def script(self) -> str:
        return f"mkdir -p {self.here}\n( cd {self.here}; export HERE=$PWD\n{self.do}\n) || echo 'FAILED {self.here}'\n"


def scenarios() -> list[Scenario]:
    document = tomllib.loads(Path(__file__).with_name("scenarios.toml").read_text(encoding="utf-8"))
    return [_scenario(number, entry) for number, entry in enumerate(document["scenario"])]


def matches(path: str, expected: str) -> bool:
    """*expected* is a path, everything below a folder (`folder/**`), or everything with a word in it (`*word*`)."""
    if expected.endswith("/**"):
        return path.startswith(expected[:-2])
    if expected.startswith("*"):
        return expected.strip("*") in path
    return path == expected


def _scenario(number: int, entry: dict[str, object]) -> Scenario:
    here = Scenario(number, "", "").here
    lists = ("lost", "kept", "may", "back", "running", "dangling", "unnamed")
    filled = {key: tuple(_filled(each, here) for each in entry.get(key, ())) for key in lists}  # type: ignore[attr-defined]
    rest = {key: value for key, value in entry.items() if key not in lists}
    rest["outside"] = str(rest.get("outside", "")).replace("$HERE", here)
    return Scenario(number, **rest, **filled)  # type: ignore[arg-type]


def _filled(text: str, here: str) -> str:
    return _BYTE.sub(lambda match: chr(0xDC00 + int(match[1], 16)), text.replace("$HERE", here))
