"""``/v2/pods/{id}/logs``: the logs as Server-Sent Events, first the past, then the present."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import datetime

from starlette.concurrency import run_in_threadpool

from devpod_rp.localcloud import timestamps
from devpod_rp.localcloud.api.call import Call, Reply
from devpod_rp.localcloud.cloud import Cloud
from devpod_rp.localcloud.logs import SOURCES, Line, Reader, resume_point
from devpod_rp.localcloud.problems import Problem, invalid

_DEFAULT_TAIL = 100
_MAX_TAIL = 5000
_POLL_SECONDS = 0.2
_KEEPALIVE_SECONDS = 15.0
_HEADERS = {"Cache-Control": "no-cache", "Connection": "keep-alive", "X-Accel-Buffering": "no"}


def stream(cloud: Cloud, call: Call) -> Reply:
    """The stream stays open until the client leaves, the pod is terminated or the server stops."""
    pod = cloud.pods.get(call.path["id"])
    source = call.one("source", {"enum": list(SOURCES)})
    reader = Reader(pod.id, cloud.container_log(pod.id), cloud.ledger, (source,) if source else SOURCES)
    past = _backfill(reader.read(), call)
    return Reply(stream=_events(cloud, pod.id, reader, past), headers=_HEADERS)


def _backfill(lines: list[Line], call: Call) -> list[Line]:
    """The past that was asked for: ``Last-Event-ID`` before ``since`` before ``tail``."""
    tail = call.whole("tail", 0, _MAX_TAIL)
    resumed, since = call.headers.get("last-event-id"), call.one("since")
    try:
        if resumed:
            point = resume_point(resumed)
            return [line for line in lines if line.order > point]
        if since:
            moment: datetime = timestamps.parse(since)
            return [line for line in lines if line.at >= moment]
    except ValueError as error:
        raise invalid([f"{'Last-Event-ID' if resumed else 'since'}: {error}"]) from None
    count = _DEFAULT_TAIL if tail is None else tail
    return lines[-count:] if count else []


async def _events(cloud: Cloud, pod_id: str, reader: Reader, lines: list[Line]) -> AsyncIterator[str]:
    last_sent = 0.0
    while True:
        for line in lines:
            document = {"ts": line.ts, "source": line.source, "line": line.text}
            yield f"id: {line.id}\ndata: {json.dumps(document)}\n\n"
        if lines or time.monotonic() - last_sent > _KEEPALIVE_SECONDS:
            # A comment: tells clients that this is all there is for now, and notices those who left.
            yield ": waiting\n\n"
            last_sent = time.monotonic()
        await asyncio.sleep(_POLL_SECONDS)
        if cloud.closing.is_set() or not await run_in_threadpool(_exists, cloud, pod_id):
            return
        lines = await run_in_threadpool(reader.read)


def _exists(cloud: Cloud, pod_id: str) -> bool:
    try:
        cloud.pods.get(pod_id)
    except Problem:
        return False
    return True
