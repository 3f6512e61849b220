"""Telling somebody who looks elsewhere that a long command has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from devpod_rp.errors import DevpodError, InterruptedByUserError

if TYPE_CHECKING:
    from devpod_rp.environments import Environment

DEFAULT = "2m"
"""How long work takes that is worth a notice, for environments of before there was a say in it."""


@contextmanager
def when_long(what: str, after: str | None, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Notify the desktop of the end of *what*, for better or worse, if it took longer than *after* (None: never)."""
    end = timer(after, clock)
    try:
        yield
    except InterruptedByUserError:
        raise  # somebody sits there
    except DevpodError as error:
        end(f"{what} failed", error.message)
        raise
    end(f"{what} is done", None)


def timer(after: str | None, clock: Callable[[], float] = time.monotonic) -> Callable[[str, str | None], None]:
    """What notifies with a title and a text (default: how long it took), if *after* has passed since this call."""
    began = clock()

    def end(title: str, text: str | None) -> None:
        from devpod_rp.desktop import notify
        from devpod_rp.spec.durations import seconds, spoken

        taken = clock() - began
        if after is not None and taken >= seconds(after):
            notify(title, text or f"It took {spoken(taken)}.")

    return end


def threshold(environment: Environment) -> str | None:
    after: str | None = environment.spec.get("notify_after", DEFAULT)
    return after
