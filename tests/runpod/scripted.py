"""A cloud that answers as it is told, request by request: the faults that a real server cannot be asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import httpx

from devpod_rp.runpod.client import RunPod

KEY = "rpa_THISISNOTFORTHELOGS0123456789"
Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class Scripted(httpx.BaseTransport):
    """Gives *answers* in order, and the last one ever after. ``requests`` and ``pauses`` are what the client did."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer

    def client(self) -> RunPod:
        return RunPod("https://rest.example", KEY, transport=self, sleep=self.pauses.append)


def problem(status: int, detail: str = "no", headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
    """RunPod's problem+json."""
    body = {"title": "Problem", "status": status, "detail": detail, **more}
    return httpx.Response(status, json=body, headers={**(headers or {}), "Content-Type": "application/problem+json"})


def pod(pod_id: str = "abc123", **changes: Any) -> dict[str, Any]:
    return {
        "id": pod_id,
        "name": "devpod-thing",
        "status": "RUNNING",
        "image": "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404",
        "cost": 0.69,
        "createdAt": "2026-11-24T10:00:00Z",
        "ssh": {"direct": None, "proxy": None, "key": None},
        **changes,
    }


class Stream(httpx.SyncByteStream):
    """A body that comes in *chunks*; an exception among them breaks it off there."""

    def __init__(self, chunks: Iterable[bytes | Exception]) -> None:
        self._chunks = list(chunks)

    def __iter__(self) -> Any:
        for chunk in self._chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk
