"""A pod's log as Server-Sent Events (WHATWG HTML, 9.2.6): the past, and if wanted the present."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from devpod_rp.runpod.errors import NotFound, RateLimited, ServerError, Unreachable
from devpod_rp.runpod.http import Http, refusal
from devpod_rp.runpod.model import LogLine

log = logging.getLogger(__name__)

# A log stream never ends by itself; this long without a byte means that the backlog is over.
_QUIET_SECONDS = 2.0
_LONGEST_WAIT_SECONDS = 60.0
_FAILURES_IN_A_ROW = 10
_PAUSE_SECONDS = 1.0


def read_log(
    http: Http, path: str, query: Mapping[str, Any], *, follow: bool, sleep: Callable[[float], None]
) -> Iterator[LogLine]:
    """The lines at *path*, oldest first.

    Without *follow* it ends when nothing comes for a moment, with a comment that follows a line (the stream is kept
    alive while there is nothing to tell), or with the first line younger than the request: a program that prints
    without pause must not hold up who only wants to know the past. With *follow* a broken stream is taken up after
    the last line seen (``Last-Event-ID``), until the pod is gone.

    Raises:
        NotFound: there is no such pod.
        Unreachable: the stream cannot be opened, or breaks ten times in a row without giving a line.
    """
    last_id: str | None = None
    found = told = False
    failures = 0
    while True:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        opened: datetime | None = None
        try:
            with http.stream(path, query, headers) as response:
                if not response.is_success:
                    response.read()
                    raise refusal(response)
                opened, found = _opened(response), True
                if not follow:
                    # httpx looks this up when the body is read: the answer may take its time, silence in it may not.
                    response.request.extensions["timeout"]["read"] = _QUIET_SECONDS
                for event_id, line in _events(_lines(response.iter_bytes())):
                    if line is None:
                        if not follow and told:
                            return
                        continue
                    if not follow and _younger(line, opened):
                        return
                    last_id, told, failures = event_id or last_id, True, 0
                    yield line
        except httpx.RequestError as error:
            if isinstance(error, httpx.ReadTimeout) and opened is not None and not follow:
                return
            failures += 1
            if failures >= _FAILURES_IN_A_ROW or (not follow and told):
                raise Unreachable(
                    f"The log broke off: {error or type(error).__name__}.", hint="check the network and try again."
                ) from error
            log.info("event=log-broken path=%s failures=%d error=%s", path, failures, type(error).__name__)
        except NotFound:
            if not found:
                raise
            return
        except (RateLimited, ServerError) as error:
            failures += 1
            if failures >= _FAILURES_IN_A_ROW or (error.retry_after or 0.0) > _LONGEST_WAIT_SECONDS:
                raise
            sleep(error.retry_after or 0.0)
        else:
            if not follow:
                return
        sleep(_PAUSE_SECONDS)


def _opened(response: httpx.Response) -> datetime:
    """When the stream was opened by the server's clock, which also stamps the lines."""
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(timezone.utc)
    except (KeyError, ValueError, TypeError):
        return datetime.now(timezone.utc)


def _younger(line: LogLine, opened: datetime) -> bool:
    try:
        # Python 3.10 reads neither "Z" nor nanoseconds.
        at = datetime.fromisoformat(line.ts[:19]).replace(tzinfo=timezone.utc)
    except ValueError:
        return False
    # Whole seconds on both sides: what falls into the second of the request may still be the past.
    return at > opened.replace(microsecond=0) + timedelta(seconds=1)


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines end with LF or CRLF here and nowhere else: httpx would also split at U+0085 or U+2028 inside a line."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")


def _events(lines: Iterable[str]) -> Iterator[tuple[str | None, LogLine | None]]:
    """Events from ``id:`` and ``data:`` lines, each ended by an empty line; None for a comment."""
    event_id: str | None = None
    data: list[str] = []
    for line in lines:
        if line.startswith("id:"):
            event_id = line[3:].strip()
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif line.startswith(":"):
            yield None, None
        elif not line and data:
            yield event_id, _log_line("\n".join(data))
            data = []


def _log_line(data: str) -> LogLine:
    """What an event says; data of another shape is shown as it is, because a log must not hide anything."""
    try:
        content = json.loads(data)
    except ValueError:
        content = None
    if not isinstance(content, dict) or "line" not in content:
        return LogLine("", "", data)
    return LogLine(str(content.get("ts", "")), str(content.get("source", "")), str(content["line"]))
