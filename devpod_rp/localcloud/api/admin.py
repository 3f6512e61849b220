"""``/local``: what only the local cloud has. Not part of RunPod's API."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from devpod_rp.localcloud import timestamps
from devpod_rp.localcloud.api.call import Call, Handler, Reply
from devpod_rp.localcloud.cloud import Cloud
from devpod_rp.localcloud.validation import Schema

_ACCOUNT: Schema = {
    "type": "object",
    "required": ["balance_usd"],
    "properties": {"balance_usd": {"type": "number"}},
    "additionalProperties": False,
}


def routes(stop: Callable[[], None]) -> Mapping[str, Mapping[str, Handler]]:
    """The paths below ``/local``; *stop* asks the process to end."""

    def stop_server(_cloud: Cloud, _call: Call) -> Reply:
        stop()
        return Reply(202, {"stopping": True, "pid": os.getpid()})

    return {
        "/local/status": {"GET": status},
        "/local/stop": {"POST": stop_server},
        "/local/reset": {"POST": reset},
        "/local/faults": {"GET": faults, "PUT": set_faults},
        "/local/pods/{id}/preempt": {"POST": preempt},
        "/local/account": {"PUT": set_account},
    }


def status(cloud: Cloud, _call: Call) -> Reply:
    """The server, its pods, and whether this machine can run pods at all."""
    process = {"pid": os.getpid(), "started_at": timestamps.rfc3339(cloud.started_at)}
    return Reply(document={**process, **cloud.status()})


def reset(cloud: Cloud, _call: Call) -> Reply:
    """Back to an empty account; answers when every process, mount and directory of a pod is gone."""
    return Reply(document={"removed": cloud.reset()})


def faults(cloud: Cloud, _call: Call) -> Reply:
    return Reply(document=cloud.faults().document())


def set_faults(cloud: Cloud, call: Call) -> Reply:
    """Replace all faults; ``{}`` ends them."""
    return Reply(document=cloud.set_faults(call.body).document())


def preempt(cloud: Cloud, call: Call) -> Reply:
    """Let the market outbid a spot pod, with real signals."""
    pod = cloud.pods.preempt(call.path["id"])
    return Reply(document={"id": pod.id, "status": pod.status.value})


def set_account(cloud: Cloud, call: Call) -> Reply:
    """Set the imaginary balance."""
    balance = float(call.checked(_ACCOUNT)["balance_usd"])
    with cloud.ledger.transaction() as books:
        books.settle(cloud.clock())
        books.put("balance", balance)
    return Reply(document={"balance_usd": balance})
