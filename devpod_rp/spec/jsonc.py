"""JSON with comments and trailing commas, as editors write it, read so that every complaint can name a line. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Keys = tuple[str, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_WORD = re.compile(r"-?\d[\d.eE+-]*|[A-Za-z]+")
_DEEPEST = 100


class NotJson(ValueError):
    """The text is not JSON with comments; *line* counts from 1."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.line = line


@dataclass(frozen=True)
class Document:
    """*value* as ``json`` would give it; *lines* has the line (from 1) of each key and list entry by its path."""

    value: Any
    lines: dict[Keys, int]

    def line_of(self, keys: Keys) -> int:
        """The line where *keys* stands, or the nearest of its parents."""
        return next((self.lines[keys[:end]] for end in range(len(keys), 0, -1) if keys[:end] in self.lines), 1)


def parse(text: str) -> Document:
    """What *text* says; of a key that is there twice, the last counts, as in ``json``.

    Raises:
        NotJson: it is not JSON, even with comments and trailing commas allowed.
    """
    reader = _Reader(text.removeprefix("\ufeff"))
    value = reader.value(())
    reader.end()
    return Document(value, reader.lines)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.lines: dict[Keys, int] = {}

    def value(self, keys: Keys) -> Any:
        if len(keys) > _DEEPEST:
            raise self._wrong(f"nested deeper than {_DEEPEST}")
        found = self._peek()
        if found == "{":
            return self._object(keys)
        if found == "[":
            return self._list(keys)
        if found == '"':
            return self._string()
        word = _WORD.match(self._text, self._at)
        try:
            value = json.loads(word[0], parse_constant=self._constant) if word else None
        except ValueError:
            word = None
        if word is None:
            raise self._wrong("a value is missing" if found in ("", ",", "}", "]") else f"{self._word()!r} is no value")
        self._at = word.end()
        return value

    def end(self) -> None:
        found = self._peek()
        if found:
            raise self._wrong(f"{found!r} behind the end")

    def _object(self, keys: Keys) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def entry() -> None:
            if self._peek() != '"':
                raise self._wrong("a key in double quotes is missing")
            line = self._line()
            key = self._string()
            if self._peek() != ":":
                raise self._wrong(f"a colon is missing behind {key!r}")
            self._at += 1
            place = (*keys, key)
            self.lines[place] = line
            found[key] = self.value(place)

        self._entries("}", entry)
        return found

    def _list(self, keys: Keys) -> list[Any]:
        found: list[Any] = []

        def entry() -> None:
            place = (*keys, str(len(found)))
            self._peek()
            self.lines[place] = self._line()
            found.append(self.value(place))

        self._entries("]", entry)
        return found

    def _entries(self, close: str, entry: Callable[[], None]) -> None:
        """Read from the opening bracket to *close*, calling *entry* for each thing between the commas."""
        opened = self._line()
        self._at += 1
        while self._peek() != close:
            if not self._peek():
                raise self._wrong(f"{close!r} is missing for what opens in line {opened}")
            entry()
            after = self._peek()
            if after == ",":
                self._at += 1
            elif after != close:
                raise self._wrong(f"a comma or {close!r} is missing")
        self._at += 1

    def _string(self) -> str:
        try:
            text, self._at = json.JSONDecoder().raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            raise NotJson(error.msg, error.lineno) from error
        return str(text)

    def _constant(self, name: str) -> None:
        raise ValueError(name)

    def _word(self) -> str:
        word = _WORD.match(self._text, self._at)
        return word[0] if word else self._text[self._at]

    def _peek(self) -> str:
        """The next character behind blanks and comments; empty at the end."""
        blank = _BLANK.match(self._text, self._at)
        assert blank is not None
        self._at = blank.end()
        return self._text[self._at : self._at + 1]

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1

    def _wrong(self, what: str) -> NotJson:
        return NotJson(what, self._line())
