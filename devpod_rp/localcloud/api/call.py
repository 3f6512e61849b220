"""What a handler is given and what it gives back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from devpod_rp.localcloud.cloud import Cloud
from devpod_rp.localcloud.problems import bad_request, invalid
from devpod_rp.localcloud.validation import Schema, check, violations


@dataclass(frozen=True)
class Call:
    """One request after authentication. *query* keeps every value of a repeated parameter."""

    path: Mapping[str, str]
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: object

    def checked(self, schema: Schema) -> dict[str, Any]:
        """The body, if it matches *schema*. Raises Problem 422."""
        return check(self.body, schema)

    def one(self, name: str, schema: Schema | None = None) -> str | None:
        """The value of a parameter, matching *schema*. Raises Problem 422."""
        values = self.query.get(name)
        if not values:
            return None
        self._all_match(values[-1:], schema or {}, name)
        return values[-1]

    def several(self, name: str, schema: Schema, most: int | None = None) -> list[str]:
        """The values of a comma-separated parameter, each matching *schema*, at most *most*. Raises Problem 422."""
        found = [part for value in self.query.get(name, []) for part in value.split(",")]
        self._all_match(found, schema, name)
        if most is not None and len(found) > most:
            raise invalid([f"{name}: maxItems: got {len(found)}, want {most}"])
        return found

    def whole(self, name: str, minimum: int, maximum: int | None = None) -> int | None:
        """An integer parameter within bounds. Raises Problem 422."""
        text = self.one(name)
        if text is None:
            return None
        try:
            value = int(text)
        except ValueError:
            raise invalid([f"{name}: got string, want integer"]) from None
        bounds: dict[str, int] = {"minimum": minimum}
        if maximum is not None:
            bounds["maximum"] = maximum
        errors = violations(value, bounds, name)
        if errors:
            raise invalid(errors)
        return value

    @staticmethod
    def _all_match(values: list[str], schema: Schema, name: str) -> None:
        errors = [error for value in values for error in violations(value, schema, name)]
        if errors:
            raise invalid(errors)

    def only_with(self, names: list[str], condition: bool, requirement: str) -> None:
        """Raises Problem 400 if one of *names* is given although *condition* does not hold."""
        given = [name for name in names if self.one(name) is not None]
        if given and not condition:
            raise bad_request(f"{', '.join(given)}: valid only with {requirement}.")


@dataclass(frozen=True)
class Reply:
    """A response: a JSON *document*, nothing, or a *stream* of text; *cut* breaks the connection in its middle."""

    status: int = 200
    document: object = None
    stream: AsyncIterator[str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False


Handler = Callable[[Cloud, Call], Reply]
NO_CONTENT = Reply(204)
