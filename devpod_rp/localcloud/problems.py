"""The refusals of the API, in RunPod's own words where those are known (RFC 9457 problem details)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

NO_CAPACITY = (
    "There are no longer any instances available with the requested specifications. Please refresh and try again."
)
# As a bid below the market is answered (dstack issue #1740).
NO_SPOT_CAPACITY = (
    "There are no longer any instances available with the request specifications. Please try again later."
)
NO_FREE_GPUS = "not enough free GPUs on the host machine"
MAX_BODY_BYTES = 102_400


class Problem(Exception):
    """A request that ends with an error response; the API layer turns it into ``application/problem+json``."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    media_type = "application/problem+json"

    def body(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = list(self.errors)
        return document


class NoFreeGpus(Problem):
    """A stopped pod's host has no free GPU: RunPod answers 400 with a bare ``{"error": …}``, not problem+json."""

    media_type = "application/json"

    def __init__(self) -> None:
        super().__init__(400, NO_FREE_GPUS)

    def body(self) -> dict[str, Any]:
        return {"error": self.detail}


def no_spot_capacity() -> Problem:
    """Nobody rents out a machine for that bid."""
    return Problem(400, NO_SPOT_CAPACITY)


def bad_request(detail: str) -> Problem:
    return Problem(400, detail)


def unauthorized(detail: str = "missing bearer token") -> Problem:
    return Problem(401, detail)


def insufficient_balance() -> Problem:
    return Problem(402, "Insufficient balance: the account needs at least one hour of credit for this pod.")


def forbidden() -> Problem:
    return Problem(403, "access denied")


def not_found() -> Problem:
    return Problem(404, "resource not found")


def path_not_found() -> Problem:
    return Problem(404, "The requested path was not found.")


def method_not_allowed(allowed: Sequence[str]) -> Problem:
    return Problem(
        405, "The requested method is not allowed for this path.", headers={"Allow": ", ".join(sorted(allowed))}
    )


def conflict(detail: str) -> Problem:
    return Problem(409, detail)


def body_too_large() -> Problem:
    return Problem(413, f"The request body exceeds the {MAX_BODY_BYTES} byte limit.")


def invalid(errors: Sequence[str]) -> Problem:
    return Problem(422, "Request validation failed.", errors=errors)


def too_many_requests(window: str, retry_after_seconds: int) -> Problem:
    return Problem(
        429,
        f"rate limit exceeded for the {window} window",
        headers={"Retry-After": str(max(1, retry_after_seconds))},
    )


def no_capacity() -> Problem:
    return Problem(400, NO_CAPACITY)
