"""``/v2/pods``: list, create, get, update, delete, act."""

from __future__ import annotations

import base64
import binascii
import json

from devpod_rp.localcloud import schemas
from devpod_rp.localcloud.api import views
from devpod_rp.localcloud.api.call import NO_CONTENT, Call, Reply
from devpod_rp.localcloud.cloud import Cloud
from devpod_rp.localcloud.problems import invalid
from devpod_rp.localcloud.records import Pod

_DEFAULT_LIMIT = 100
_MAX_LIMIT = 1000


def list_pods(cloud: Cloud, call: Call) -> Reply:
    """Newest first; in pages when asked with ``limit`` or ``cursor``, all at once otherwise."""
    pods = cloud.pods.all()
    now = cloud.clock()
    paged = "limit" in call.query or "cursor" in call.query
    if not paged or not cloud.faults().pagination:
        return Reply(document={"pods": [views.pod(pod, now) for pod in pods]})
    limit = call.whole("limit", 1, _MAX_LIMIT) or _DEFAULT_LIMIT
    cursor = call.one("cursor")
    if cursor is not None:
        before = _decoded(cursor)
        pods = [pod for pod in pods if _position(pod) < before]
    page, more = pods[:limit], len(pods) > limit
    return Reply(
        document={
            "pods": [views.pod(pod, now) for pod in page],
            "pagination": {"nextCursor": _encoded(page[-1]) if more else None, "hasNextPage": more},
        }
    )


def create(cloud: Cloud, call: Call) -> Reply:
    pod = cloud.pods.create(call.checked(schemas.CREATE_POD))
    return Reply(201, views.pod(pod, cloud.clock()))


def get(cloud: Cloud, call: Call) -> Reply:
    return Reply(document=views.pod(cloud.pods.get(call.path["id"]), cloud.clock()))


def update(cloud: Cloud, call: Call) -> Reply:
    pod = cloud.pods.update(call.path["id"], call.checked(schemas.UPDATE_POD))
    return Reply(document=views.pod(pod, cloud.clock()))


def delete(cloud: Cloud, call: Call) -> Reply:
    cloud.pods.terminate(call.path["id"])
    return NO_CONTENT


def act(cloud: Cloud, call: Call) -> Reply:
    pod = cloud.pods.act(call.path["id"], call.checked(schemas.POD_ACTION)["action"])
    return Reply(document=views.pod(pod, cloud.clock())) if pod else NO_CONTENT


def _position(pod: Pod) -> tuple[float, str]:
    return pod.created_at, pod.id


def _encoded(pod: Pod) -> str:
    return base64.urlsafe_b64encode(json.dumps(["pods", *_position(pod)]).encode()).decode()


def _decoded(cursor: str) -> tuple[float, str]:
    try:
        kind, created_at, pod_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        if kind != "pods" or not isinstance(pod_id, str):
            raise ValueError
        return float(created_at), pod_id
    except (ValueError, TypeError, binascii.Error):
        raise invalid(["cursor: the cursor is malformed or belongs to another list"]) from None
