"""``/v2/pods``: list, create, get, update, delete, act."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from devpod_rp.localcloud import schemas
from devpod_rp.localcloud.api import views
from devpod_rp.localcloud.api.call import NO_CONTENT, Call, Reply
from devpod_rp.localcloud.api.rehearsal import rehearsed
from devpod_rp.localcloud.cloud import Cloud
from devpod_rp.localcloud.problems import invalid
from devpod_rp.localcloud.records import Pod

_DEFAULT_LIMIT = 100
_MAX_LIMIT = 1000


def list_pods(cloud: Cloud, call: Call) -> Reply:
    """Newest first; in pages when asked with ``limit`` or ``cursor``, all at once otherwise."""
    # There are no clusters here, so either answer lists the same pods.
    call.one("includeClusterPods", {"enum": ["true", "false"]})
    pods = cloud.pods.all()
    paged = "limit" in call.query or "cursor" in call.query
    if not paged or not cloud.faults().pagination:
        return Reply(document={"pods": [_shown(cloud, pod) for pod in pods]})
    limit = call.whole("limit", 1, _MAX_LIMIT) or _DEFAULT_LIMIT
    cursor = call.one("cursor")
    if cursor is not None:
        before = _decoded(cursor)
        pods = [pod for pod in pods if _position(pod) < before]
    page, more = pods[:limit], len(pods) > limit
    return Reply(
        document={
            "pods": [_shown(cloud, pod) for pod in page],
            "pagination": {"nextCursor": _encoded(page[-1]) if more else None, "hasNextPage": more},
        }
    )


def create(cloud: Cloud, call: Call) -> Reply:
    """A new pod, or what the rehearsed script has for this create."""
    body = call.checked(schemas.CREATE_POD)
    pod = rehearsed(cloud, lambda factor: cloud.pods.create(body, price_factor=factor))
    return Reply(201, _shown(cloud, pod))


def get(cloud: Cloud, call: Call) -> Reply:
    return Reply(document=_shown(cloud, cloud.pods.get(call.path["id"])))


def update(cloud: Cloud, call: Call) -> Reply:
    pod = cloud.pods.update(call.path["id"], call.checked(schemas.UPDATE_POD))
    return Reply(document=_shown(cloud, pod))


def delete(cloud: Cloud, call: Call) -> Reply:
    cloud.pods.terminate(call.path["id"])
    return NO_CONTENT


def act(cloud: Cloud, call: Call) -> Reply:
    pod = cloud.pods.act(call.path["id"], call.checked(schemas.POD_ACTION)["action"])
    return Reply(document=_shown(cloud, pod)) if pod else NO_CONTENT


def _shown(cloud: Cloud, pod: Pod) -> dict[str, Any]:
    return views.pod(pod, cloud.clock(), stale_port_seconds=cloud.faults().stale_port_seconds)


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
