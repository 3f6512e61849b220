"""A cloud that answers from a script: every request is remembered, every wait is counted and not waited."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import httpx

from devpod_rp.runpod.client import RunPod
from devpod_rp.runpod.model import CreateGpuConfig, CreatePodRequest

KEY = "rpa_SECRETSECRETSECRETSECRET42"
POD = {"id": "p1", "name": "dev", "status": "RUNNING"}
REQUEST = CreatePodRequest(name="dev", image="img", gpu=CreateGpuConfig(id="NVIDIA L4", count=1))

Step: TypeAlias = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class Script:
    """The steps of a conversation; one more request than steps is a failure of the test."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = list(steps)
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []
        self.client = RunPod(
            "https://api.example", KEY, transport=httpx.MockTransport(self._next), sleep=self.waits.append
        )

    def _next(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        assert self._steps, f"a request too many: {request.method} {request.url}"
        step = self._steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step(request) if callable(step) else step

    @property
    def asked(self) -> list[str]:
        return [f"{each.method} {each.url.raw_path.decode()}" for each in self.requests]

    def bodies(self) -> list[Any]:
        return [json.loads(each.content) for each in self.requests]


def ok(document: Any = POD, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=document)


def problem(status: int, detail: str = "no", *, retry_after: str | None = None, **more: Any) -> httpx.Response:
    """RunPod's error document (RFC 9457)."""
    headers = {"Content-Type": "application/problem+json"}
    if retry_after is not None:
        headers["Retry-After"] = retry_after
    body = {"title": "Problem", "status": status, "detail": detail, **more}
    return httpx.Response(status, headers=headers, content=json.dumps(body).encode())


def lost() -> httpx.ReadTimeout:
    """The request went out and no answer came."""
    return httpx.ReadTimeout("timed out")


def refused() -> httpx.ConnectError:
    return httpx.ConnectError("connection refused")
