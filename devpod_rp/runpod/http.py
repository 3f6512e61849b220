"""One way to send a request: authentication, timeouts, retries, rate limits, and errors mapped to ours."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from devpod_rp import __version__
from devpod_rp.errors import AuthenticationError, ConfigurationError
from devpod_rp.runpod.errors import (
    Ambiguous,
    ApiError,
    NotTheApi,
    RateLimited,
    ServerError,
    Unreachable,
    from_answer,
)

log = logging.getLogger(__name__)

_ATTEMPTS = 5
# RunPod's shortest rate limit window; who is told to wait for the hourly one is told so instead.
_LONGEST_WAIT_SECONDS = 60.0
_LONGEST_DETAIL = 300
_PAUSES = wait_exponential(multiplier=0.5, max=8.0) + wait_random(0.0, 0.5)
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Http:
    """Requests to one cloud with one key; the key appears in no message, log or repr."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        host = _host(url)
        # What cannot stand in a header would otherwise come back in httpx' complaint, key and all.
        if not re.fullmatch(r"[!-~]+", key):
            raise AuthenticationError(
                "The API key holds characters that no key has, such as blanks or line breaks.",
                hint="copy it again, whole (console.runpod.io, Settings, API keys); if RUNPOD_API_KEY is set, there.",
            )
        self._sleep = sleep
        self._client = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}", "User-Agent": f"devpod-rp/{__version__}"},
            timeout=_TIMEOUT,
            transport=transport,
            trust_env=host not in _LOOPBACK,
        )

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, **query: Any) -> Any:
        return self._repeated("GET", path, query=query)

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._repeated("PUT", path, body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._repeated("PATCH", path, body)

    def delete(self, path: str) -> None:
        self._repeated("DELETE", path)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """A request that makes something happen: repeated only where it certainly did not reach the cloud, or was
        turned away by the rate limit.

        Raises:
            Ambiguous: it may have happened.
        """
        return self._repeated("POST", path, body, creates=True)

    def ask(self, path: str, body: Mapping[str, Any]) -> Any:
        """A POST that changes nothing (a GraphQL query), repeated like a GET."""
        return self._repeated("POST", path, body)

    def stream(
        self, path: str, query: Mapping[str, Any], headers: Mapping[str, str]
    ) -> AbstractContextManager[httpx.Response]:
        """A streamed GET, sent once; httpx' errors and the status are the caller's business."""
        return self._client.stream(
            "GET", path, params=_given(query), headers={"Accept": "text/event-stream", **headers}
        )

    def _repeated(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        creates: bool = False,
    ) -> Any:
        def worth_repeating(error: BaseException) -> bool:
            if isinstance(error, ApiError) and (error.retry_after or 0.0) > _LONGEST_WAIT_SECONDS:
                return False
            if isinstance(error, RateLimited):
                return True
            if isinstance(error, (Ambiguous, NotTheApi)):
                return False
            return isinstance(error, Unreachable) or (isinstance(error, ServerError) and not creates)

        retrying = Retrying(
            retry=retry_if_exception(worth_repeating),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=_wait,
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(self._once, method, path, body, query or {}, creates)

    def _once(
        self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, Any], creates: bool
    ) -> Any:
        try:
            response = self._client.request(method, path, json=body, params=_given(query))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._unreachable(error) from error
        except httpx.RequestError as error:
            if creates:
                raise Ambiguous(
                    f"The answer to {method} {path} never came ({_reason(error)}); it may have happened.",
                    hint="the next command looks for what it may have made.",
                ) from error
            raise self._unreachable(error) from error
        log.debug("event=api method=%s path=%s status=%d", method, path, response.status_code)
        if not response.is_success:
            raise self._refused(response, creates)
        try:
            return response.json() if response.content else None
        except ValueError as error:
            raise self.misunderstood(method, path, creates=creates) from error

    def misunderstood(self, method: str, path: str, *, creates: bool = False) -> Unreachable:
        """The error of an answer that claims success and cannot be read."""
        what = f"{self.url} answered {method} {path} with something that is not RunPod's API"
        if creates:
            return Ambiguous(f"{what}; it may have happened.", hint="the next command looks for what it may have made.")
        return NotTheApi(f"{what}.", hint="check RUNPOD_API_URL, and that no proxy or portal is in between.")

    def _refused(self, response: httpx.Response, creates: bool) -> Exception:
        error = refusal(response)
        if creates and isinstance(error, ServerError):
            return Ambiguous(
                f"The cloud failed in the middle of the request ({response.status_code}); it may have happened.",
                hint="the next command looks for what it may have made.",
            )
        return error

    def _unreachable(self, error: httpx.RequestError) -> Unreachable:
        return Unreachable(
            f"{self.url} cannot be reached: {_reason(error)}.",
            hint="check the network, and RUNPOD_API_URL if you set it.",
        )


def refusal(response: httpx.Response) -> ApiError:
    """The error in an answer; RunPod sends problem+json, and for some refusals ``{"error": …}`` or plain text.

    A proxy may complain by showing the request, so the key is struck out of whatever the answer says.
    """
    key = response.request.headers.get("Authorization", "").removeprefix("Bearer ")
    detail, errors = f"HTTP {response.status_code}", list[str]()
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        said = str(body.get("detail") or body.get("error") or body.get("title") or "")
        detail = _printable(said, key) or detail
        listed = body.get("errors")
        errors = [_printable(str(each), key) for each in listed] if isinstance(listed, list) else []
    elif "html" not in response.headers.get("Content-Type", ""):
        detail = _printable(response.text, key) or detail
    error = from_answer(response.status_code, detail, errors)
    error.retry_after = _seconds(response.headers.get("Retry-After"))
    if error.retry_after is not None and isinstance(error, RateLimited):
        error.hint = f"try again in {error.retry_after:.0f} seconds."
    return error


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        parts = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{url!r} is no address of an API.", hint="RUNPOD_API_URL looks like https://…")
    return parts.hostname


def _printable(text: str, secret: str) -> str:
    """*text* without *secret*, on one line that cannot play tricks with a terminal."""
    told = text.replace(secret, "…") if secret else text
    words = " ".join(told.split())[:_LONGEST_DETAIL]
    return "".join(character if character.isprintable() else "?" for character in words)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, ApiError) and error.retry_after is not None:
        return error.retry_after
    return float(_PAUSES(state))


def _seconds(header: str | None) -> float | None:
    # RunPod sends whole seconds; the date that HTTP allows as well would need the server's clock.
    return float(header) if header and header.isdecimal() else None


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in query.items() if value is not None}
