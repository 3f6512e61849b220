"""Making the local cloud misbehave on purpose, by name, the way RunPod is known to.

The faults live in the ledger, so that they outlast the server and a test or a user sets them in one request. A fault
that counts down (``next``) is written back with every request it spoils.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from devpod_rp.localcloud.catalog import Level
from devpod_rp.localcloud.validation import Schema, check

_LEVEL: Schema = {"type": "string", "enum": [level.name for level in Level]}
_COUNT: Schema = {"type": "integer", "minimum": 1}
_SECONDS: Schema = {"type": "number", "minimum": 0}
_PRICE: Schema = {
    "type": "object",
    "properties": {"secure": _SECONDS, "community": _SECONDS},
    "additionalProperties": False,
}

CREATE_STEPS = tuple("ok no-capacity forbidden insufficient-balance server-error lost-answer dearer double".split())
HOST_FAULTS = ("no-gpu", "no-sshd", "late-sshd", "stuck", "maintenance", "gone")

SCHEMA: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "stock": {"type": "object", "additionalProperties": {}},
        "prices": {"type": "object", "additionalProperties": _PRICE},
        "create": {"type": "string", "enum": ["no-capacity", "insufficient-balance"]},
        "create_script": {"type": "array", "items": {"type": "string", "enum": list(CREATE_STEPS)}},
        "hosts": {
            "type": "object",
            "additionalProperties": {"type": "string", "enum": list(HOST_FAULTS)},
        },
        "key": {"type": "string", "enum": ["revoked"]},
        "slow": {
            "type": "object",
            "required": ["next", "seconds"],
            "properties": {"next": _COUNT, "seconds": _SECONDS, "method": {"type": "string"}},
            "additionalProperties": False,
        },
        "stale_port_seconds": _SECONDS,
        "start": {"type": "string", "enum": ["not-enough-gpus"]},
        "delays": {
            "type": "object",
            "properties": {"allocate": _SECONDS, "pull": _SECONDS, "start": _SECONDS},
            "additionalProperties": False,
        },
        "errors": {
            "type": "object",
            "required": ["next"],
            "properties": {
                "next": _COUNT,
                "status": {"type": "integer", "minimum": 500, "maximum": 599},
                "when": {"type": "string", "enum": ["before", "after", "cut"]},
                "method": {"type": "string"},
            },
            "additionalProperties": False,
        },
        "rate_limit": {
            "type": "object",
            "required": ["next"],
            "properties": {"next": _COUNT, "retry_after": _COUNT},
            "additionalProperties": False,
        },
        "pagination": {"type": "boolean"},
        "zero_balance": {"type": "string", "enum": ["runpod"]},
    },
}


@dataclass(frozen=True)
class ServerErrors:
    """The next *next* API calls (of *method*, if given) fail: with *status* before anything happened, or after the
    request took effect, so that the client cannot know; or they take effect, and the answer is cut off halfway."""

    next: int
    status: int = 503
    when: str = "before"
    method: str | None = None

    def hits(self, method: str) -> bool:
        return self.next > 0 and self.method in (None, method)


@dataclass(frozen=True)
class RateLimit:
    """The next *next* API calls are answered 429 with ``Retry-After: retry_after``."""

    next: int
    retry_after: int = 1


@dataclass(frozen=True)
class Slow:
    """The answers to the next *next* API calls (of *method*, if given) take *seconds*: a slow or half-open network."""

    next: int
    seconds: float
    method: str | None = None

    def hits(self, method: str) -> bool:
        return self.next > 0 and self.method in (None, method)


@dataclass(frozen=True)
class Faults:
    """What goes wrong at present; nothing by default.

    stock: a level per GPU or CPU id, or per id and data center.
    prices: USD per hour for one GPU (or one vCPU), per cloud: a price increase.
    create: every create is refused, for want of capacity or of money. start: every start is refused for want of GPUs.
    create_script: what becomes of the next creates, one entry each: nothing free although the catalog shows stock, 403,
    402, 503 before anything happened, 502 after the pod was made, a pod dearer than the catalog says, or two pods.
    hosts: what is wrong with the hosts of a data center: pods start without their GPUs, without an SSH server, with one
    that is late, never leave PROVISIONING, are stopped for maintenance and cannot be started, or vanish with all disks.
    key: "revoked" answers every API call 401.
    stale_port_seconds: so long after a start the API still shows the SSH port of the run before.
    delays: seconds that allocating, pulling and starting take instead of the configured ones.
    pagination: False answers lists as the API of 2026-08-18 did, without pages.
    zero_balance: "runpod" terminates pods without a network volume when the money runs out, as RunPod does; otherwise
    the local cloud only stops them, because imaginary money should not cost real files.
    """

    stock: Mapping[str, Any] = field(default_factory=dict)
    prices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    create: str | None = None
    create_script: tuple[str, ...] = ()
    start: str | None = None
    hosts: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    slow: Slow | None = None
    stale_port_seconds: float = 0.0
    delays: Mapping[str, float] = field(default_factory=dict)
    errors: ServerErrors | None = None
    rate_limit: RateLimit | None = None
    pagination: bool = True
    zero_balance: str | None = None

    def stock_of(self, resource: str, data_center: str) -> Level | None:
        """The overridden stock of *resource* in *data_center*, None if it is not overridden."""
        override = self.stock.get(resource)
        level = override.get(data_center) if isinstance(override, Mapping) else override
        return Level[level] if level else None

    def document(self) -> dict[str, Any]:
        """The faults as JSON, only what is set."""
        defaults = dataclasses.asdict(Faults())
        return {
            key: {name: item for name, item in value.items() if item is not None}
            if key in ("errors", "rate_limit", "slow")
            else value
            for key, value in dataclasses.asdict(self).items()
            if value != defaults[key]
        }


def parse(document: object) -> Faults:
    """The faults that *document* describes.

    Raises:
        Problem: 422 naming every key or value that is no fault.
    """
    values = dict(check(document, SCHEMA))
    for resource, override in values.get("stock", {}).items():
        schema: Schema = {"properties": {resource: _LEVEL}}
        if isinstance(override, dict):
            schema = {"properties": {resource: {"type": "object", "additionalProperties": _LEVEL}}}
        check({resource: override}, schema)
    if "errors" in values:
        values["errors"] = ServerErrors(**values["errors"])
    if "slow" in values:
        values["slow"] = Slow(**values["slow"])
    values["create_script"] = tuple(values.get("create_script", ()))
    if "rate_limit" in values:
        values["rate_limit"] = RateLimit(**values["rate_limit"])
    return Faults(**values)
