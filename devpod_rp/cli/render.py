"""Results as a person reads them, or as one JSON document; both from the same data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import click

from devpod_rp.errors import DevpodError, printable


def document(data: Mapping[str, Any] | Sequence[Any]) -> None:
    """Exactly one JSON document on stdout."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=True))


def error(problem: DevpodError, as_json: bool) -> None:
    """What was wrong and what to do next: on stderr, or as a document on stdout."""
    if as_json:
        document(problem.as_json())
        return
    click.echo(f"error: {problem.message}", err=True)
    for line in problem.details():
        click.echo(f"  {line}", err=True)
    if problem.hint:
        click.echo(f"hint: {problem.hint}", err=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, err: bool = False) -> None:
    """An aligned table without borders; columns whose name starts with ``>`` are right-aligned."""
    names = [name.lstrip(">") for name in columns]
    lines = [list(row) for row in rows]
    widths = [max([len(name), *(len(line[i]) for line in lines)]) for i, name in enumerate(names)]

    def layout(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if column.startswith(">") else cell.ljust(width)
            for cell, width, column in zip(cells, widths, columns, strict=True)
        ]
        return "  ".join(padded).rstrip()

    click.echo(click.style(layout(names), bold=True), err=err)
    for line in lines:
        click.echo(layout(line), err=err)


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Aligned ``label  value`` lines."""
    known = list(pairs)
    width = max((len(label) for label, _ in known), default=0)
    for label, value in known:
        click.echo(f"  {label.ljust(width)}  {value}")


def money(per_hour: float | None) -> str:
    return "-" if per_hour is None else f"${per_hour:.2f}/h"


def named(names: Sequence[str], most: int) -> str:
    """The first of *names*, at *most* so many, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(printable(each) for each in names[:most]) + more


def age(since: str | None) -> str:
    """How long ago an ISO 8601 time was, in words."""
    from devpod_rp.spec.durations import spoken

    if since is None:
        return "-"
    began = datetime.fromisoformat(since.replace("Z", "+00:00"))
    return spoken(max(0.0, (datetime.now(timezone.utc) - began).total_seconds()))
