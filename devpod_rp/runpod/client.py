"""A typed client of REST v2. Every method is one call, or one list read to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from devpod_rp.runpod.errors import NotFound
from devpod_rp.runpod.http import Http
from devpod_rp.runpod.logs import read_log
from devpod_rp.runpod.model import (
    CpuType,
    CreateNetworkVolumeRequest,
    CreatePodRequest,
    DataCenter,
    GpuType,
    LogLine,
    NetworkVolume,
    NetworkVolumeBillingRecord,
    Pagination,
    Pod,
    PodAction,
    PodBillingRecord,
    SshKeys,
    Template,
    UpdateNetworkVolumeRequest,
    UpdatePodRequest,
)
from devpod_rp.runpod.spot import Spot

_PAGE = 100

Wire = TypeVar("Wire", bound=BaseModel)


class RunPod:
    """RunPod, or whatever speaks its API at *url*. *spot* is the part of it that REST v2 has no words for.

    Raises everywhere: the errors of ``runpod.errors``, each with RunPod's own words and what to do next.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = Http(url, key, transport=transport, sleep=sleep)
        self._sleep = sleep
        self.spot = Spot(self._http)

    def __enter__(self) -> RunPod:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def create_pod(self, request: CreatePodRequest) -> Pod:
        """Create a pod, once.

        Raises:
            NoCapacity: nothing free; try the next candidate.
            Ambiguous: the answer was lost; look for the pod by its name.
        """
        return self._post(Pod, "/v2/pods", request.body())

    def list_pods(self) -> list[Pod]:
        """Every pod of the account; works with servers that paginate and with those that do not."""
        pods: list[Pod] = []
        cursor: str | None = None
        while True:
            page = self._http.get("/v2/pods", limit=_PAGE, cursor=cursor)
            pods.extend(self._items(Pod, page, "pods", "/v2/pods"))
            more = self._read(Pagination, page.get("pagination") or {}, "/v2/pods")
            if not more.has_next_page or more.next_cursor in (None, cursor):
                return pods
            cursor = more.next_cursor

    def get_pod(self, pod_id: str) -> Pod:
        return self._get(Pod, f"/v2/pods/{pod_id}")

    def update_pod(self, pod_id: str, request: UpdatePodRequest) -> Pod:
        path = f"/v2/pods/{pod_id}"
        return self._read(Pod, self._http.patch(path, request.body()), path, "PATCH")

    def start_pod(self, pod_id: str) -> Pod:
        """Start a stopped pod on the host it is bound to.

        Raises:
            NoCapacity: the host has no free GPUs.
        """
        return self._act(pod_id, PodAction.START)

    def stop_pod(self, pod_id: str) -> Pod:
        """Stop a pod: the container disk is wiped, the volume kept, the compute no longer billed."""
        return self._act(pod_id, PodAction.STOP)

    def restart_pod(self, pod_id: str) -> Pod:
        """Restart the container in place; its disk is wiped."""
        return self._act(pod_id, PodAction.RESTART)

    def delete_pod(self, pod_id: str) -> None:
        """Terminate a pod and its volume disk; one that is gone already is fine."""
        try:
            self._http.delete(f"/v2/pods/{pod_id}")
        except NotFound:
            return

    def pod_logs(
        self, pod_id: str, *, source: str | None = None, tail: int = 5000, follow: bool = False
    ) -> Iterator[LogLine]:
        """The pod's log, oldest first; *source* "container" or "system", None for both.

        Without *follow* it ends where the backlog ends; with *follow* it goes on until the pod is gone, and a broken
        stream is taken up after the last line seen.
        """
        query = {"source": source, "tail": tail}
        return read_log(self._http, f"/v2/pods/{pod_id}/logs", query, follow=follow, sleep=self._sleep)

    def network_volumes(self) -> list[NetworkVolume]:
        return self._list(NetworkVolume, "/v2/network-volumes", "networkVolumes")

    def create_network_volume(self, request: CreateNetworkVolumeRequest) -> NetworkVolume:
        return self._post(NetworkVolume, "/v2/network-volumes", request.body())

    def get_network_volume(self, volume_id: str) -> NetworkVolume:
        return self._get(NetworkVolume, f"/v2/network-volumes/{volume_id}")

    def update_network_volume(self, volume_id: str, request: UpdateNetworkVolumeRequest) -> NetworkVolume:
        path = f"/v2/network-volumes/{volume_id}"
        return self._read(NetworkVolume, self._http.patch(path, request.body()), path, "PATCH")

    def delete_network_volume(self, volume_id: str) -> None:
        """Delete a network volume and everything on it; one that is gone already is fine, one in use is refused."""
        try:
            self._http.delete(f"/v2/network-volumes/{volume_id}")
        except NotFound:
            return

    def ssh_keys(self) -> list[str]:
        return self._get(SshKeys, "/v2/account/ssh-keys").keys

    def put_ssh_keys(self, keys: list[str]) -> None:
        """Replace all the account's keys; they reach pods created later only."""
        self._http.put("/v2/account/ssh-keys", {"keys": keys})

    def gpu_types(self, *, count: int = 1, cloud: str | None = None, min_cuda: str | None = None) -> list[GpuType]:
        """The GPU catalog with present stock for pods of *count* GPUs."""
        types = self._list(
            GpuType,
            "/v2/catalog/gpus",
            "gpus",
            include="AVAILABILITY",
            product="POD",
            count=count,
            cloud=cloud,
            minCudaVersion=min_cuda,
        )
        return [each for each in types if each.id != "unknown"]

    def cpu_types(self) -> list[CpuType]:
        return self._list(CpuType, "/v2/catalog/cpus", "cpus", include="AVAILABILITY", product="POD")

    def data_centers(self) -> list[DataCenter]:
        return self._list(DataCenter, "/v2/catalog/datacenters", "dataCenters")

    def templates(self, source: str = "official") -> list[Template]:
        """RunPod's catalog templates: *source* is official, verified or community."""
        return self._list(Template, "/v2/catalog/templates", "templates", source=source)

    def pod_billing(self, pod_id: str | None = None, **query: Any) -> list[PodBillingRecord]:
        """What pods cost; *query* as in GET /v2/billing/pods (bucketSize, startTime, endTime, lastN)."""
        return self._list(PodBillingRecord, "/v2/billing/pods", "records", podId=pod_id, **query)

    def network_volume_billing(self, **query: Any) -> list[NetworkVolumeBillingRecord]:
        """What network volumes cost; *query* as in `pod_billing`."""
        return self._list(NetworkVolumeBillingRecord, "/v2/billing/network-volumes", "records", **query)

    def _act(self, pod_id: str, action: PodAction) -> Pod:
        return self._post(Pod, f"/v2/pods/{pod_id}/action", {"action": action.value})

    def _get(self, kind: type[Wire], path: str) -> Wire:
        return self._read(kind, self._http.get(path), path)

    def _list(self, kind: type[Wire], path: str, key: str, **query: Any) -> list[Wire]:
        return self._items(kind, self._http.get(path, **query), key, path)

    def _post(self, kind: type[Wire], path: str, body: dict[str, Any]) -> Wire:
        answer = self._http.post(path, body)
        try:
            return kind.model_validate(answer)
        except ValidationError as error:
            raise self._http.misunderstood("POST", path, creates=True) from error

    def _items(self, kind: type[Wire], page: Any, key: str, path: str) -> list[Wire]:
        if not isinstance(page, dict) or not isinstance(page.get(key), list):
            raise self._http.misunderstood("GET", path)
        return [self._read(kind, each, path) for each in page[key]]

    def _read(self, kind: type[Wire], answer: Any, path: str, method: str = "GET") -> Wire:
        try:
            return kind.model_validate(answer)
        except ValidationError as error:
            raise self._http.misunderstood(method, path) from error
