"""The terminal: progress while work is long, questions where there is somebody to answer."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from devpod_rp.errors import InterruptedByUserError, UsageError
from devpod_rp.progress import Event, Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

Answer = TypeVar("Answer")
_drawn: list[Bars] = []


def interactive(as_json: bool = False) -> bool:
    """Whether a person sits at both ends; nothing ever prompts otherwise."""
    return not as_json and sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str, *, default: bool) -> bool:
    """Ask yes or no on the terminal; Ctrl-C is an interruption, not a no."""
    import questionary

    answer = questionary.confirm(question, default=default).ask()
    if answer is None:
        raise InterruptedByUserError("Cancelled.")
    return bool(answer)


def choose(question: str, choices: Sequence[tuple[str, Answer]], default: Answer | None = None) -> Answer:
    """Let the person pick one of *choices* (label, value) with the arrow keys; Enter takes *default*, or the first."""
    import questionary

    options = [questionary.Choice(label, value=index) for index, (label, _) in enumerate(choices)]
    first = next((index for index, (_, value) in enumerate(choices) if default is not None and value == default), 0)
    picked: int | None = questionary.select(question, choices=options, default=options[first]).ask()
    if picked is None:
        raise InterruptedByUserError("Cancelled.")
    _, answer = choices[picked]
    return answer


def mark(question: str, choices: Sequence[tuple[str, Answer]]) -> list[Answer]:
    """Let the person mark any number of *choices* (label, value)."""
    import questionary

    options = [questionary.Choice(label, value=index) for index, (label, _) in enumerate(choices)]
    picked: list[int] | None = questionary.checkbox(question, choices=options).ask()
    if picked is None:
        raise InterruptedByUserError("Cancelled.")
    return [choices[index][1] for index in picked]


def ask_secret(question: str) -> str:
    """Let the person type or paste what must not be seen."""
    import questionary

    answer: str | None = questionary.password(question).ask()
    if answer is None or not answer.strip():
        raise InterruptedByUserError("Cancelled.")
    return answer.strip()


def ask_folder(question: str, default: str) -> Path:
    """Let the person name a folder; it need not exist."""
    import questionary

    answer: str | None = questionary.path(question, default=default, only_directories=True).ask()
    if not answer:
        raise InterruptedByUserError("Cancelled.")
    return Path(answer).expanduser().absolute()


def need_terminal(what: str, flag: str) -> UsageError:
    """The error of a command that would have to ask, but cannot."""
    return UsageError(f"{what}, and there is no terminal to ask on.", hint=f"say it with {flag}.")


def note(text: str) -> None:
    """A line for the person, beside whatever goes to stdout."""
    click.echo(text, err=True)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold the living progress lines back while a person reads and answers."""
    for bars in _drawn:
        bars.stop()
    try:
        yield
    finally:
        for bars in _drawn:
            bars.start()


@contextmanager
def progress() -> Iterator[Progress]:
    """Draw events on stderr: one living line per stage on a terminal, one plain line per message elsewhere."""
    if sys.stderr.isatty():
        with _living_lines() as sink:
            yield sink
    else:
        yield _plain_lines()


def _plain_lines() -> Progress:
    last: dict[str, str] = {}

    def sink(event: Event) -> None:
        if last.get(event.stage) != event.message:
            last[event.stage] = event.message
            click.echo(f"  {event.message}", err=True)

    return sink


@contextmanager
def _living_lines() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    bars = Bars(
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[amount]}", markup=False),
        TimeElapsedColumn(),
        console=console,
    )
    tasks: dict[str, TaskID] = {}

    def sink(event: Event) -> None:
        if event.warning:
            console.print(event.message, style="yellow", markup=False, highlight=False)
            return
        if event.stage not in tasks:
            for earlier in tasks.values():
                total = bars.tasks[earlier].total or 1
                bars.update(earlier, total=total, completed=total)
            tasks[event.stage] = bars.add_task(event.message, total=None, amount="")
        bars.update(
            tasks[event.stage],
            description=event.message,
            total=event.total,
            completed=event.done or 0,
            amount=_amount(event),
        )

    with bars:
        _drawn.append(bars)
        try:
            yield sink
        finally:
            _drawn.remove(bars)
        for task in tasks.values():
            total = bars.tasks[task].total or 1
            bars.update(task, total=total, completed=total)


def _amount(event: Event) -> str:
    if event.done is None or event.unit is None:
        return ""
    if event.unit == "bytes":
        return size(event.done) + (f" of {size(event.total)}" if event.total is not None else "")
    return f"{event.done}" + (f"/{event.total}" if event.total is not None else "") + f" {event.unit}"


def facts(pairs: Sequence[tuple[str, str]]) -> None:
    """Aligned ``label  value`` lines on stderr, for plans and other words before the result."""
    width = max(len(label) for label, _ in pairs)
    for label, value in pairs:
        note(f"  {label.ljust(width)}  {value}")


def files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def size(count: int) -> str:
    """*count* bytes as a person writes them (decimal units)."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
