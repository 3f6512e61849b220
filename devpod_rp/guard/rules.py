"""The guard's knowledge as data: the table `rules.toml`, read and compiled."""

from __future__ import annotations

import functools
import importlib.resources
import sys
from dataclasses import dataclass, field
from typing import Any

from devpod_rp.guard.patterns import Matcher

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Rule:
    """A kind of file that is not at risk. With *boot* it holds only for a file as the boot left it."""

    name: str
    why: str
    boot: bool = False


@dataclass(frozen=True)
class Recipe:
    """Something that comes back by itself; *name* and *how* may use the words its pattern captured."""

    kind: str
    name: str
    how: str


@dataclass(frozen=True)
class Kind:
    """A kind of file at risk; *rank* 0 is the most precious."""

    name: str
    reason: str
    rank: int


@dataclass(frozen=True)
class Rules:
    noise: Matcher[Rule]
    history: Matcher[Rule]
    rebuildable: Matcher[Recipe]
    precious: Matcher[Kind]
    ranks: dict[str, int] = field(default_factory=dict)


@functools.cache
def builtin() -> Rules:
    """The rules that come with the package."""
    text = importlib.resources.files("devpod_rp.guard").joinpath("rules.toml").read_text(encoding="utf-8")
    return parse(text)


def no_loss(rules: Rules) -> list[list[tuple[str, bool]]]:
    """The part of *rules* that says what is no loss, as plain data for the pod (``agent/keepsakes.py``)."""
    return [
        [(expression, rule.boot) for expression, rule in rules.noise.expressions()],
        [(expression, rule.boot) for expression, rule in rules.history.expressions()],
        [(expression, False) for expression, _ in rules.rebuildable.expressions()],
    ]


def parse(text: str) -> Rules:
    """Rules from the text of such a table.

    Raises:
        tomllib.TOMLDecodeError, KeyError: the table is not well-formed.
    """
    document: dict[str, list[dict[str, Any]]] = tomllib.loads(text)
    kinds = document.get("precious", [])
    return Rules(
        noise=Matcher([(_rule(table), table["paths"]) for table in document.get("noise", [])]),
        history=Matcher([(_rule(table), table["paths"]) for table in document.get("history", [])]),
        rebuildable=Matcher(
            [(Recipe(table["kind"], table["name"], table["how"]), table["paths"]) for table in document["rebuildable"]]
        ),
        precious=Matcher(
            [(Kind(table["kind"], table["reason"], rank), table["paths"]) for rank, table in enumerate(kinds)]
        ),
        ranks={table["kind"]: rank for rank, table in enumerate(kinds)},
    )


def _rule(table: dict[str, Any]) -> Rule:
    return Rule(table["name"], table["why"], bool(table.get("boot", False)))
