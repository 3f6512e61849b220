"""Downloads that one command brings again: known by where tools keep them, as the launcher's table of rules says."""

from __future__ import annotations

import os
import re
import shlex
from typing import Any, Dict, List, Mapping, NamedTuple, Pattern, Sequence

from devpod_rp.agent.exposure.packages import Package
from devpod_rp.agent.files.changes import Change


class Recipe(NamedTuple):
    """*pattern* has a group ``mark`` around the path of the whole, and one for each word of *name* and *how*."""

    pattern: Pattern[str]
    kind: str
    name: str
    how: str
    by_itself: bool


def parsed(table: Sequence[Sequence[Any]]) -> List[Recipe]:
    """Raises re.error, TypeError or ValueError for what is no such table."""
    found = []
    for pattern, kind, name, how, by_itself in table:
        found.append(Recipe(re.compile(pattern, re.DOTALL), str(kind), str(name), str(how), bool(by_itself)))
    return found


def downloads(changes: Sequence[Change], recipes: Sequence[Recipe]) -> List[Package]:
    """What of *changes* came from somewhere that has it still, each with the bytes that it has here."""
    found: Dict[str, Package] = {}
    for change in changes:
        for recipe in recipes:
            match = recipe.pattern.fullmatch(change.path)
            if match is not None:
                made = package(recipe.kind, recipe.name, recipe.how, match.groupdict(), by_itself=recipe.by_itself)
                before = found.get(match.group("mark"), made)
                found[match.group("mark")] = before._replace(size=before.size + change.stamp.size)
                break
    return list(found.values())


def package(kind: str, name: str, how: str, words: Mapping[str, str], *, by_itself: bool) -> Package:
    """What *words*, as a pattern captured them, make of a recipe."""
    named = name.format(**words)
    if by_itself:
        return Package(kind, named, how.format(**words))
    # A name on a disk may be anything; in a command it is one word.
    quoted = {word: shlex.quote(text) for word, text in words.items()}
    folder = shlex.quote(os.path.dirname(words["mark"]))
    return Package(kind, named, how.format(folder=folder, **quoted), mark=words["mark"])
