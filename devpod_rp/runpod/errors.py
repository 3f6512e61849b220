"""What RunPod refuses, by meaning. Wording and statuses: the createPod table of the OpenAPI specification."""

from __future__ import annotations

import re
from collections.abc import Sequence

from devpod_rp.errors import (
    AuthenticationError,
    ConfigurationError,
    DevpodError,
    NoCapacityError,
    UnreachableError,
)

# ruff's N818 wants "...Error" on every name; these read as what they are where they are caught.


class ApiError(DevpodError):
    """The cloud answered with an error.

    *status* is HTTP's, *detail* RunPod's words, *retry_after* the seconds it wants us to wait (None: it did not say).
    """

    kind = "api"

    def __init__(self, status: int, detail: str, errors: Sequence[str] = (), *, hint: str | None = None) -> None:
        listed = f" ({'; '.join(errors)})" if errors else ""
        super().__init__(f"The cloud refused: {detail}{listed}", hint=hint or self.default_hint)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after: float | None = None

    default_hint: str | None = None


class BadRequest(ApiError):
    """400 for another reason than capacity."""


class NotFound(ApiError):
    """404: there is no such thing, or it is gone."""

    default_hint = "devpod-rp list shows what there is; RUNPOD_API_URL, if you set it, may lead elsewhere."


class Forbidden(ApiError, AuthenticationError):
    """403: the key may not do this, or the machine pool is closed to the account."""

    default_hint = "the API key lacks a permission; create one with read and write access to pods."


class Conflict(ApiError):
    """409: not possible in the present state."""

    default_hint = "devpod-rp status shows the state; try again when it has changed."


class Unauthorized(ApiError, AuthenticationError):
    """401: the key is missing, wrong or revoked."""

    default_hint = (
        "devpod-rp login, or check RUNPOD_API_KEY (console.runpod.io, Settings, API keys), or use --cloud local."
    )


class InsufficientBalance(ApiError, AuthenticationError):
    """402: RunPod wants at least an hour's worth of credit."""

    default_hint = "add credit at console.runpod.io, Billing."


class NoCapacity(ApiError, NoCapacityError):
    """400 in RunPod's words for "nothing free"; also how it answers to an unknown GPU id or data center."""

    default_hint = "try another GPU type, tier or data center, or the same later."


class Invalid(ApiError, ConfigurationError):
    """422: the request itself is wrong; repeating it never helps."""

    default_hint = "one of the values in devpod-rp.toml or of the flags is not what RunPod accepts."


class RateLimited(ApiError, UnreachableError):
    """429 for longer than we were willing to wait."""

    default_hint = "wait a minute and try again."


class ServerError(ApiError, UnreachableError):
    """5xx, also after several attempts."""

    default_hint = "RunPod has trouble (uptime.runpod.io); try again in a few minutes."


class Unreachable(UnreachableError):
    """No answer: connection refused, name not found, timeout."""

    kind = "cloud-unreachable"


class NotTheApi(Unreachable):
    """Something answered with success, and not in the words of the API: a portal, a proxy, another server."""

    kind = "not-the-api"


class Ambiguous(Unreachable):
    """A request that creates something went out, and its answer never came: it may have happened."""

    kind = "ambiguous"


# As RunPod's own CI classifies capacity text (runpod/containers, tests/runpod_smoke/pod.py).
_CAPACITY = re.compile(
    r"no longer any instances available|please refresh and try again|does not have the resources|"
    r"try a different machine|no (machines|capacity|hosts|gpus|instances) available|insufficient capacity|"
    r"not enough free gpus|out of stock|sold out",
    re.IGNORECASE,
)
_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    402: InsufficientBalance,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: Invalid,
    429: RateLimited,
}


def from_answer(status: int, detail: str, errors: Sequence[str] = ()) -> ApiError:
    """The error that an answer with *status* and RunPod's words means."""
    # RunPod's v1 said "not enough free GPUs" with 500; the words decide, then the status.
    if status in (400, 500) and _CAPACITY.search(detail):
        return NoCapacity(status, detail, errors)
    return _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)(status, detail, errors)
