"""Path patterns of the rules table, compiled so that hundreds of thousands of paths cost a second, not a minute."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Subject = TypeVar("Subject")

_HOMES = ("/root", "/home/*")
_WORD = re.compile(r"\{([a-z_]+)\}")
_CHOICE = re.compile(r"\{([^{}]*,[^{}]*)\}")
_ANY_TOP = ""


@dataclass(frozen=True)
class Match(Generic[Subject]):
    """*words* are those that the pattern captured, and ``mark``: the folder that it means all of, or the file."""

    subject: Subject
    words: dict[str, str]


class Matcher(Generic[Subject]):
    """Finds the first subject one of whose patterns matches a whole path.

    Patterns are grouped by their first directory, so that a path is only tried against those that could match it.
    """

    def __init__(self, table: Iterable[tuple[Subject, Sequence[str]]]) -> None:
        self._subjects: list[Subject] = []
        by_top: dict[str, list[tuple[int, str]]] = {}
        for subject, patterns in table:
            self._subjects.append(subject)
            for pattern in patterns:
                for expanded in _expand(pattern):
                    by_top.setdefault(_top(expanded), []).append((len(self._subjects) - 1, expanded))
        self._patterns = sorted(entry for entries in by_top.values() for entry in entries)
        anywhere = by_top.pop(_ANY_TOP, [])
        self._anywhere = _alternation(anywhere)
        # The order of the table must hold across both groups, so each directory's patterns include the general ones.
        self._by_top = {top: _alternation(sorted(entries + anywhere)) for top, entries in by_top.items()}
        self._words: dict[int, list[re.Pattern[str]]] = {}
        for index, pattern in sorted(entry for entries in (*by_top.values(), anywhere) for entry in entries):
            if _WORD.search(pattern):
                self._words.setdefault(index, []).append(re.compile(_marked(pattern), re.DOTALL))

    def named_expressions(self) -> list[tuple[str, Subject]]:
        """As :meth:`expressions`, with a group for each word, and one called ``mark`` for what *path* lies in."""
        return [(_marked(pattern), self._subjects[index]) for index, pattern in self._patterns]

    def expressions(self) -> list[tuple[str, Subject]]:
        """Every pattern as a regular expression for whole paths, with its subject, in the order of the table."""
        return [(_regex(pattern, named=False), self._subjects[index]) for index, pattern in self._patterns]

    def match(self, path: str) -> Match[Subject] | None:
        """The first subject, in the order of the table, whose pattern matches *path* as a whole."""
        top = path[1:].partition("/")[0]
        expression = self._by_top.get(top, self._anywhere)
        found = expression.fullmatch(path) if expression else None
        if found is None or found.lastgroup is None:
            return None
        index = int(found.lastgroup[1:])
        captured = filter(None, (words.fullmatch(path) for words in self._words.get(index, ())))
        return Match(self._subjects[index], next((words.groupdict() for words in captured), {}))


def _alternation(entries: Sequence[tuple[int, str]]) -> re.Pattern[str] | None:
    if not entries:
        return None
    by_subject: dict[int, list[str]] = {}
    for index, pattern in entries:
        by_subject.setdefault(index, []).append(_regex(pattern, named=False))
    groups = (f"(?P<s{index}>{'|'.join(expressions)})" for index, expressions in sorted(by_subject.items()))
    return re.compile("|".join(groups), re.DOTALL)


def _expand(pattern: str) -> list[str]:
    """`~` into every home, and a choice in the first name into each of its names, for the grouping by first name."""
    if pattern.startswith("~/"):
        return [expanded for home in _HOMES for expanded in _expand(home + pattern[1:])]
    first = pattern[1:].partition("/")[0]
    braces = _CHOICE.search(first) if pattern.startswith("/") else None
    if braces is None:
        return [pattern]
    before, after = first[: braces.start()], first[braces.end() :] + pattern[1 + len(first) :]
    return [expanded for choice in braces.group(1).split(",") for expanded in _expand("/" + before + choice + after)]


def _top(pattern: str) -> str:
    if not pattern.startswith("/"):
        return _ANY_TOP
    first = pattern[1:].partition("/")[0]
    return _ANY_TOP if re.search(r"[*?\[{]", first) else first


def _marked(pattern: str) -> str:
    """A pattern with named words; ``mark`` is the folder whose whole content it means, or the one file."""
    folder = pattern.endswith("/**")
    return f"(?P<mark>{_regex(pattern[:-3] if folder else pattern, named=True)}){'/.*' if folder else ''}"


def _regex(pattern: str, *, named: bool) -> str:
    result = ""
    position = 0
    while position < len(pattern):
        rest = pattern[position:]
        word, choice = _WORD.match(rest), _CHOICE.match(rest)
        if rest.startswith("**/"):
            result, position = result + "(?:.*/)?" if result else "(?:.*/)", position + 3
        elif rest.startswith("**"):
            result, position = result + ".*", position + 2
        elif word:
            result += f"(?P<{word.group(1)}>[^/]+?)" if named else "[^/]+?"
            position += word.end()
        elif choice:
            result += "(?:" + "|".join(_regex(part, named=named) for part in choice.group(1).split(",")) + ")"
            position += choice.end()
        elif rest[0] == "[" and "]" in rest:
            end = rest.index("]")
            result, position = result + "[" + rest[1:end].replace("\\", "\\\\") + "]", position + end + 1
        else:
            result += {"*": "[^/]*", "?": "[^/]"}.get(rest[0], re.escape(rest[0]))
            position += 1
    return result
