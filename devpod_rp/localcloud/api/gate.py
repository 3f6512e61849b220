"""What every request passes before it reaches its handler, in RunPod's order.

Size (413 even without a key), key (401), quota (429), path (404), method (405), body (400); every response carries
``x-request-id``, and the rate-limit headers once the caller is known.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
import json
import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from devpod_rp.localcloud import problems
from devpod_rp.localcloud.api.call import Call, Handler, Reply
from devpod_rp.localcloud.cloud import Cloud
from devpod_rp.localcloud.faults import Faults
from devpod_rp.localcloud.problems import MAX_BODY_BYTES, Problem
from devpod_rp.localcloud.ratelimits import RateLimits

log = logging.getLogger(__name__)

_SOMETHING_WENT_WRONG = "Something went wrong. Please try again later or contact support."


class Gate:
    """Shared by all resources: who may come in, and how a result becomes a response."""

    def __init__(self, cloud: Cloud, token: str, on_request: Callable[[], None]) -> None:
        self.cloud = cloud
        self._token = token.encode()
        self._on_request = on_request
        self._limits = RateLimits(cloud.catalog.rate_limits, cloud.clock)
        self._countdown = threading.Lock()

    async def answer(self, request: Request, handlers: Mapping[str, Handler]) -> Response:
        """The response to *request* on a path whose methods are *handlers* (none: the path does not exist)."""
        headers = {"x-request-id": str(uuid.uuid4())}
        try:
            self._on_request()
            reply = await self._admitted(request, handlers, headers)
        except Problem as problem:
            log.info("%s %s status=%d", request.method, request.url.path, problem.status)
            return _json(problem.status, problem.body(), {**headers, **problem.headers}, problem.media_type)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception:
            log.exception("%s %s failed", request.method, request.url.path)
            unknown = Problem(500, _SOMETHING_WENT_WRONG)
            return _json(500, unknown.body(), headers, unknown.media_type)
        headers.update(reply.headers)
        if reply.cut:
            return _Cut(json.dumps(reply.document), reply.status, headers, media_type="application/json")
        if reply.stream is not None:
            return StreamingResponse(reply.stream, reply.status, headers, media_type="text/event-stream")
        if reply.document is None:
            return Response(status_code=reply.status, headers=headers)
        return _json(reply.status, reply.document, headers)

    async def _admitted(self, request: Request, handlers: Mapping[str, Handler], headers: dict[str, str]) -> Reply:
        raw = await _body(request)
        await run_in_threadpool(self._authenticate, request)
        public = request.url.path.startswith("/v2/") or request.url.path == "/graphql"
        faults = None
        if public:
            headers.update(self._limits.count())
            faults = await run_in_threadpool(self._current_faults, request.method)
            await asyncio.sleep(await run_in_threadpool(self._slowness, request.method))
        if not handlers:
            raise problems.path_not_found()
        handler = handlers.get(request.method)
        if handler is None:
            raise problems.method_not_allowed(list(handlers))
        call = Call(
            path=request.path_params,
            query={key: request.query_params.getlist(key) for key in request.query_params},
            headers=request.headers,
            body=_parsed(raw) if request.method in ("POST", "PUT", "PATCH") else None,
        )
        reply = await run_in_threadpool(handler, self.cloud, call)
        if faults is not None and faults.errors and faults.errors.when == "after":
            # The request took effect and its answer is lost: what a client must be able to survive.
            raise Problem(faults.errors.status, "Bad gateway: the response was lost.")
        if faults is not None and faults.errors and faults.errors.when == "cut":
            return dataclasses.replace(reply, cut=True)
        return reply

    def _authenticate(self, request: Request) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if request.url.path == "/graphql" and "api_key" in request.query_params:
            scheme, key = "bearer", request.query_params["api_key"]
        if scheme.lower() != "bearer" or not key.strip():
            raise problems.unauthorized()
        offered = key.strip().encode()
        if hmac.compare_digest(offered, self._token):
            return
        pod_id = self._pod_of_key(offered)
        if pod_id is None:
            raise problems.unauthorized("invalid bearer token")
        # A pod's own RUNPOD_API_KEY may look at that pod and stop it, and nothing else.
        if not (request.url.path + "/").startswith(f"/v2/pods/{pod_id}/"):
            raise problems.forbidden()

    def _pod_of_key(self, offered: bytes) -> str | None:
        found = None
        for pod in self.cloud.pods.all():
            if hmac.compare_digest(offered, pod.api_key.encode()):
                found = pod.id
        return found

    def _slowness(self, method: str) -> float:
        """The seconds that this call has to wait for its answer; counted down."""
        with self._countdown:
            faults = self.cloud.faults()
            if faults.slow is None or not faults.slow.hits(method):
                return 0.0
            slow = dataclasses.replace(faults.slow, next=faults.slow.next - 1)
            self._keep(dataclasses.replace(faults, slow=slow if slow.next else None))
            return slow.seconds

    def _current_faults(self, method: str) -> Faults | None:
        """The faults if one of them hits this call, which is then counted down. Raises the 4xx or 5xx it stands for."""
        with self._countdown:
            faults = self.cloud.faults()
            if faults.key == "revoked":
                raise problems.unauthorized("invalid bearer token")
            if faults.rate_limit and faults.rate_limit.next > 0:
                limit = dataclasses.replace(faults.rate_limit, next=faults.rate_limit.next - 1)
                self._keep(dataclasses.replace(faults, rate_limit=limit if limit.next else None))
                raise problems.too_many_requests("minute", limit.retry_after)
            if faults.errors is None or not faults.errors.hits(method):
                return None
            errors = dataclasses.replace(faults.errors, next=faults.errors.next - 1)
            self._keep(dataclasses.replace(faults, errors=errors if errors.next else None))
            if errors.when == "before":
                raise Problem(errors.status, _SOMETHING_WENT_WRONG)
            return faults

    def _keep(self, faults: Faults) -> None:
        self.cloud.set_faults(faults.document())


class Resource:
    """One path of the API as an ASGI application, so that the gate and not the router answers other methods."""

    def __init__(self, gate: Gate, handlers: Mapping[str, Handler]) -> None:
        self._gate = gate
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._gate.answer(Request(scope, receive), self._handlers)
        await response(scope, receive, send)


class _Cut(Response):
    """A response whose connection breaks halfway through its body."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body[: len(self.body) // 2], "more_body": True})


async def _body(request: Request) -> bytes:
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise problems.body_too_large()
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise problems.body_too_large()
    return bytes(body)


def _parsed(raw: bytes) -> object:
    if not raw.strip():
        return {}
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise problems.bad_request("The request body is not valid JSON.") from None


def _json(status: int, document: Any, headers: Mapping[str, str], media_type: str = "application/json") -> Response:
    return Response(json.dumps(document), status, dict(headers), media_type)
