"""A typed client of REST v2. Every method is one call, or one list read to its end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import httpx

from devpod_rp.runpod.errors import NotFound, Unreachable
from devpod_rp.runpod.http import Http, refusal
from devpod_rp.runpod.model import (
    CpuType,
    CreateNetworkVolumeRequest,
    CreatePodRequest,
    DataCenter,
    GpuType,
    LogLine,
    NetworkVolume,
    Pagination,
    Pod,
    PodAction,
    PodBillingRecord,
    Template,
    UpdateNetworkVolumeRequest,
    UpdatePodRequest,
)

# A log stream never ends by itself; this long without a line means that the backlog is over.
_QUIET_SECONDS = 1.0
_FOLLOW_SECONDS = 60.0
_PAGE = 100


class RunPod:
    """RunPod, or whatever speaks its API at *url*.

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
        return Pod.model_validate(self._http.post("/v2/pods", request.body()))

    def list_pods(self) -> list[Pod]:
        """Every pod of the account; works with servers that paginate and with those that do not."""
        pods: list[Pod] = []
        cursor: str | None = None
        while True:
            page = self._http.get("/v2/pods", limit=_PAGE, cursor=cursor)
            pods.extend(Pod.model_validate(each) for each in page["pods"])
            more = Pagination.model_validate(page.get("pagination") or {})
            if not more.has_next_page or more.next_cursor in (None, cursor):
                return pods
            cursor = more.next_cursor

    def get_pod(self, pod_id: str) -> Pod:
        return Pod.model_validate(self._http.get(f"/v2/pods/{pod_id}"))

    def update_pod(self, pod_id: str, request: UpdatePodRequest) -> Pod:
        return Pod.model_validate(self._http.patch(f"/v2/pods/{pod_id}", request.body()))

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

        Without *follow* it ends when the backlog is over, which shows as a second without a line; with *follow* it goes
        on for ever, and a broken stream is taken up after the last line seen (``Last-Event-ID``).
        """
        last_id: str | None = None
        while True:
            headers = {"Last-Event-ID": last_id} if last_id else {}
            quiet = _FOLLOW_SECONDS if follow else _QUIET_SECONDS
            stream = self._http.stream(
                f"/v2/pods/{pod_id}/logs", read_seconds=quiet, headers=headers, source=source, tail=tail
            )
            try:
                with stream as response:
                    if not response.is_success:
                        response.read()
                        raise refusal(response)
                    for event_id, line in _events(response.iter_lines()):
                        last_id = event_id or last_id
                        yield line
            except httpx.ReadTimeout:
                if not follow:
                    return
            except httpx.TransportError as error:
                if not follow:
                    raise Unreachable(f"The log broke off: {error}.", hint="try again.") from error
                self._sleep(1.0)
            if not follow:
                return

    def network_volumes(self) -> list[NetworkVolume]:
        found = self._http.get("/v2/network-volumes")["networkVolumes"]
        return [NetworkVolume.model_validate(each) for each in found]

    def create_network_volume(self, request: CreateNetworkVolumeRequest) -> NetworkVolume:
        return NetworkVolume.model_validate(self._http.post("/v2/network-volumes", request.body()))

    def get_network_volume(self, volume_id: str) -> NetworkVolume:
        return NetworkVolume.model_validate(self._http.get(f"/v2/network-volumes/{volume_id}"))

    def update_network_volume(self, volume_id: str, request: UpdateNetworkVolumeRequest) -> NetworkVolume:
        return NetworkVolume.model_validate(self._http.patch(f"/v2/network-volumes/{volume_id}", request.body()))

    def delete_network_volume(self, volume_id: str) -> None:
        """Delete a network volume and everything on it; refused while a pod uses it."""
        self._http.delete(f"/v2/network-volumes/{volume_id}")

    def ssh_keys(self) -> list[str]:
        return [str(key) for key in self._http.get("/v2/account/ssh-keys")["keys"]]

    def put_ssh_keys(self, keys: list[str]) -> None:
        """Replace all the account's keys; they reach pods created later only."""
        self._http.put("/v2/account/ssh-keys", {"keys": keys})

    def gpu_types(self, *, count: int = 1, cloud: str | None = None, min_cuda: str | None = None) -> list[GpuType]:
        """The GPU catalog with present stock for pods of *count* GPUs."""
        found = self._http.get(
            "/v2/catalog/gpus",
            include="AVAILABILITY",
            product="POD",
            count=count,
            cloud=cloud,
            minCudaVersion=min_cuda,
        )["gpus"]
        types = [GpuType.model_validate(each) for each in found]
        return [each for each in types if each.id != "unknown"]

    def cpu_types(self) -> list[CpuType]:
        found = self._http.get("/v2/catalog/cpus", include="AVAILABILITY", product="POD")["cpus"]
        return [CpuType.model_validate(each) for each in found]

    def data_centers(self) -> list[DataCenter]:
        return [DataCenter.model_validate(each) for each in self._http.get("/v2/catalog/datacenters")["dataCenters"]]

    def templates(self, source: str = "official") -> list[Template]:
        """RunPod's catalog templates: *source* is official, verified or community."""
        found = self._http.get("/v2/catalog/templates", source=source)["templates"]
        return [Template.model_validate(each) for each in found]

    def pod_billing(self, pod_id: str | None = None, **query: Any) -> list[PodBillingRecord]:
        """What pods cost; *query* as in GET /v2/billing/pods (bucketSize, startTime, endTime, lastN)."""
        found = self._http.get("/v2/billing/pods", podId=pod_id, **query)["records"]
        return [PodBillingRecord.model_validate(each) for each in found]

    def _act(self, pod_id: str, action: PodAction) -> Pod:
        return Pod.model_validate(self._http.post(f"/v2/pods/{pod_id}/action", {"action": action.value}))


def _events(lines: Iterator[str]) -> Iterator[tuple[str | None, LogLine]]:
    """Server-sent events (WHATWG HTML, 9.2.6): ``id:`` and ``data:`` lines, an empty line ends an event."""
    event_id: str | None = None
    data: list[str] = []
    for line in lines:
        if line.startswith("id:"):
            event_id = line[3:].strip()
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            content = json.loads("\n".join(data))
            data = []
            yield event_id, LogLine(str(content["ts"]), str(content["source"]), str(content["line"]))
