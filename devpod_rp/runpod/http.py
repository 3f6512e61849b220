"""One way to send a request: authentication, timeouts, retries, rate limits, and errors mapped to ours."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from devpod_rp import __version__
from devpod_rp.errors import ConfigurationError
from devpod_rp.runpod.errors import Ambiguous, RateLimited, ServerError, Unreachable, from_answer

log = logging.getLogger(__name__)

_ATTEMPTS = 5
_LONGEST_WAIT_SECONDS = 30.0
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
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"{url!r} is no address of an API.", hint="RUNPOD_API_URL looks like https://…")
        self.url = url.rstrip("/")
        self._sleep = sleep
        self._client = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}", "User-Agent": f"devpod-rp/{__version__}"},
            timeout=_TIMEOUT,
            transport=transport,
            trust_env=parts.hostname not in _LOOPBACK,
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

    def stream(self, path: str, *, read_seconds: float, headers: Mapping[str, str] | None = None, **query: Any) -> Any:
        """A context manager of a streamed GET that gives up after *read_seconds* without data."""
        return self._client.stream(
            "GET",
            path,
            params=_given(query),
            headers={"Accept": "text/event-stream", **(headers or {})},
            timeout=httpx.Timeout(_TIMEOUT.connect, read=read_seconds),
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
            if isinstance(error, RateLimited):
                return True
            if isinstance(error, Ambiguous):
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
        except httpx.TransportError as error:
            if creates:
                raise Ambiguous(
                    f"The answer to {method} {path} never came ({_reason(error)}); it may have happened.",
                    hint="the next command looks for what it may have made.",
                ) from error
            raise self._unreachable(error) from error
        log.debug("event=api method=%s path=%s status=%d", method, path, response.status_code)
        if response.is_success:
            return response.json() if response.content else None
        raise self._refused(response, creates)

    def _refused(self, response: httpx.Response, creates: bool) -> Exception:
        error = refusal(response)
        if creates and isinstance(error, ServerError):
            return Ambiguous(
                f"The cloud failed in the middle of the request ({response.status_code}); it may have happened.",
                hint="the next command looks for what it may have made.",
            )
        return error

    def _unreachable(self, error: httpx.TransportError) -> Unreachable:
        return Unreachable(
            f"{self.url} cannot be reached: {_reason(error)}.",
            hint="check the network, and RUNPOD_API_URL if you set it.",
        )


def refusal(response: httpx.Response) -> Exception:
    """The error in an answer; RunPod sends problem+json, and for some refusals ``{"error": …}`` or plain text."""
    detail, errors = f"HTTP {response.status_code}", []
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        detail = str(body.get("detail") or body.get("error") or body.get("title") or detail)
        errors = [str(each) for each in body.get("errors") or []]
    error = from_answer(response.status_code, detail, errors)
    if isinstance(error, RateLimited):
        error.retry_after = _seconds(response.headers.get("Retry-After"))  # type: ignore[attr-defined]
    return error


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    told = getattr(error, "retry_after", None)
    if told is not None:
        return float(min(told, _LONGEST_WAIT_SECONDS))
    return float(wait_exponential_jitter(initial=0.5, max=8.0)(state))


def _seconds(header: str | None) -> float | None:
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in query.items() if value is not None}
