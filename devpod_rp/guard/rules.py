"""The guard's knowledge as data: the table `rules.toml`, read and compiled."""

from __future__ import annotations

import functools
import importlib.resources
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from devpod_rp.guard.patterns import Matcher

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Rule:
    """A kind of file that is not at risk. With *boot* it holds only for a file as the boot left it; with *disk* such
    files belong to a disk that is kept."""

    name: str
    why: str
    boot: bool = False
    disk: bool = False


@dataclass(frozen=True)
class Recipe:
    """Something that can be had again. *name* and *how* may use the words that its pattern captured, and ``{folder}``.

    That is the folder around what the pattern means as a whole. With *by_itself*, *how* is no command; with *disk* it
    belongs to a disk that is kept.
    """

    kind: str
    name: str
    how: str
    by_itself: bool = False
    disk: bool = False

    def as_wire(self, pattern: str) -> tuple[str, str, str, str, bool]:
        return (pattern, self.kind, self.name, self.how, self.by_itself)


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
    own_precious: Matcher[Kind] = field(default_factory=lambda: Matcher([]))
    own_ignored: Matcher[Rule] = field(default_factory=lambda: Matcher([]))


_OWN = Kind("precious", "precious by your own rule", rank=-1)
_IGNORED = Rule("[guard] ignore", "your own rule says so")


@functools.cache
def builtin() -> Rules:
    """The rules that come with the package."""
    text = importlib.resources.files("devpod_rp.guard").joinpath("rules.toml").read_text(encoding="utf-8")
    return parse(text)


def of_spec(spec: Mapping[str, Any]) -> Rules:
    """The built-in rules with the ``[guard]`` table of an environment's *spec* on top: precious first, then ignore."""
    table = spec.get("guard", {})
    precious, ignore = table.get("precious", ()), table.get("ignore", ())
    if not precious and not ignore:
        return builtin()
    return replace(
        builtin(),
        ranks={_OWN.name: _OWN.rank, **builtin().ranks},
        own_precious=Matcher([(_OWN, precious)] if precious else []),
        own_ignored=Matcher([(_IGNORED, ignore)] if ignore else []),
    )


def discarded(rules: Rules) -> list[list[tuple[str, bool]]]:
    """The part of *rules* that says what a kept disk is without, as plain data for the pod (``agent/disk``)."""
    but = _unless_precious(rules)
    return [
        [(but + expression, rule.boot) for expression, rule in rules.own_ignored.expressions()],
        [(but + expression, rule.boot) for expression, rule in rules.noise.expressions() if not rule.disk],
        [(but + expression, False) for expression, recipe in rules.rebuildable.expressions() if not recipe.disk],
    ]


def no_loss(rules: Rules) -> list[list[tuple[str, bool]]]:
    """The part of *rules* that says what is no loss, as plain data for the pod (``agent/rescue/keepsakes.py``)."""
    but = _unless_precious(rules)
    return [
        [(but + expression, rule.boot) for expression, rule in rules.own_ignored.expressions()],
        [(but + expression, rule.boot) for expression, rule in rules.noise.expressions()],
        [(but + expression, rule.boot) for expression, rule in rules.history.expressions()],
        [(but + expression, False) for expression, _ in rules.rebuildable.expressions()],
    ]


def recipes(rules: Rules) -> list[tuple[str, str, str, str, bool]]:
    """What *rules* says that can be had again, as plain data for the pod (``agent/exposure/recipes.py``)."""
    return [recipe.as_wire(pattern) for pattern, recipe in rules.rebuildable.named_expressions()]


def noting(name: str, rules: Rules) -> dict[str, Any]:
    """What the pod needs to note for environment *name* what is installed (``agent/rescue/noting.py``)."""
    return {"name": name, "recipes": recipes(rules)}


def _unless_precious(rules: Rules) -> str:
    precious = "|".join(expression for expression, _ in rules.own_precious.expressions())
    return rf"(?!(?:{precious})\Z)" if precious else ""


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
            [
                (Recipe(**{key: table[key] for key in table if key != "paths"}), table["paths"])
                for table in document["rebuildable"]
            ]
        ),
        precious=Matcher(
            [(Kind(table["kind"], table["reason"], rank), table["paths"]) for rank, table in enumerate(kinds)]
        ),
        ranks={table["kind"]: rank for rank, table in enumerate(kinds)},
    )


def _rule(table: dict[str, Any]) -> Rule:
    return Rule(table["name"], table["why"], bool(table.get("boot", False)), bool(table.get("disk", False)))
