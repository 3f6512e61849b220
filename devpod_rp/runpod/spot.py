"""The spot market, and what else only GraphQL can do.

Apart from the REST client because RunPod retires GraphQL early in 2027 (docs.runpod.io, sdks/graphql); REST v2 has no
spot pods, no start without a GPU and no balance. Names and fields: graphql-spec.runpod.io and RunPod's own clients.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devpod_rp.runpod.errors import ApiError, from_answer

if TYPE_CHECKING:
    from devpod_rp.runpod.http import Http
    from devpod_rp.runpod.model import CreatePodRequest

_PATH = "/graphql"
_MARKET = re.compile(r"by runpod|outbid|preempt|interrupt", re.IGNORECASE)
_OTHER_REASONS = re.compile(r"by user|credit|balance|fund|maintenance", re.IGNORECASE)
_PRICES = "query { gpuTypes { id secureSpotPrice communitySpotPrice } }"
_RENT = "mutation($input: PodRentInterruptableInput!) { podRentInterruptable(input: $input) { id } }"
_BID = "mutation($input: PodBidResumeInput!) { podBidResume(input: $input) { id } }"
_RESUME = "mutation($input: PodResumeInput!) { podResume(input: $input) { id } }"
_CHANGE = "query($id: String!) { pod(input: {podId: $id}) { desiredStatus lastStatusChange } }"
_ACCOUNT = "query { myself { clientBalance currentSpendPerHr } }"


@dataclass(frozen=True)
class SpotPrice:
    """The lowest bids (USD per hour for one GPU) that get a pod now; None where the type is not offered."""

    secure: float | None
    community: float | None

    def of(self, tier: str) -> float | None:
        return self.secure if tier == "SECURE" else self.community


@dataclass(frozen=True)
class Account:
    """The account's *balance* in USD, and what it spends in USD per hour."""

    balance: float
    spend_per_hour: float


class Spot:
    """RunPod's GraphQL API over the connection of the REST client. Raises as that does."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def prices(self) -> dict[str, SpotPrice]:
        """The lowest bids by GPU type id."""
        found = self._ask(_PRICES, {}).get("gpuTypes") or []
        return {
            str(each["id"]): SpotPrice(each.get("secureSpotPrice"), each.get("communitySpotPrice")) for each in found
        }

    def rent(self, request: CreatePodRequest, bid_per_gpu: float) -> str:
        """Create a spot pod as *request* describes it, for *bid_per_gpu* (USD per hour), once; returns its id.

        GraphQL takes one data center where REST takes several: the first is asked for.

        Raises:
            NoCapacity: nothing free for that bid.
            Ambiguous: the answer was lost; look for the pod by its name.
        """
        made = self._order(_RENT, {**_deploy_input(request), "bidPerGpu": bid_per_gpu}, "podRentInterruptable")
        return str(made["id"])

    def resume(self, pod_id: str, bid_per_gpu: float, gpu_count: int) -> None:
        """Start a stopped spot pod again with a bid.

        Raises:
            NoCapacity: its host has no free GPU for that bid.
        """
        self._order(_BID, {"podId": pod_id, "bidPerGpu": bid_per_gpu, "gpuCount": gpu_count}, "podBidResume")

    def resume_on_demand(self, pod_id: str, gpu_count: int) -> None:
        """Start a stopped pod at the on-demand price, whatever it was before; with 0 GPUs only to fetch its data.

        Raises:
            NoCapacity: its host has not so many GPUs free.
        """
        self._order(_RESUME, {"podId": pod_id, "gpuCount": gpu_count}, "podResume")

    def preempted(self, pod_id: str) -> bool:
        """Whether the pod was ended by the market, not by its user.

        RunPod says so in words only, and nowhere which: ``lastStatusChange`` is "Exited by User …" after a stop by key
        or console. Whatever does not clearly speak of the market counts as somebody's stop, since what is started again
        by mistake bills.
        """
        pod = self._ask(_CHANGE, {"id": pod_id}).get("pod")
        if not isinstance(pod, dict) or pod.get("desiredStatus") != "EXITED":
            return False
        words = str(pod.get("lastStatusChange") or "")
        return bool(_MARKET.search(words)) and not _OTHER_REASONS.search(words)

    def account(self) -> Account:
        """Balance and burn of the account.

        Raises:
            Unreachable: the answer does not name the balance; none is not the same as nothing.
        """
        me = self._ask(_ACCOUNT, {}).get("myself") or {}
        if me.get("clientBalance") is None:
            raise self._http.misunderstood("POST", _PATH)
        return Account(float(me["clientBalance"]), float(me.get("currentSpendPerHr") or 0.0))

    def _ask(self, document: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        return _data(self._http.ask(_PATH, {"query": document, "variables": dict(variables)}))

    def _order(self, document: str, wish: Mapping[str, Any], field: str) -> dict[str, Any]:
        answer = self._http.post(_PATH, {"query": document, "variables": {"input": dict(wish)}})
        made = _data(answer).get(field)
        if not isinstance(made, dict) or not made.get("id"):
            raise self._http.misunderstood("POST", _PATH, creates=True)
        return made


def _data(answer: object) -> dict[str, Any]:
    """The data of an answer; a refusal comes with HTTP 200 and is told apart by RunPod's words."""
    document = answer if isinstance(answer, dict) else {}
    errors = document.get("errors")
    if isinstance(errors, list) and errors:
        raise _refusal(str(errors[0].get("message")) if isinstance(errors[0], dict) else str(errors[0]))
    data = document.get("data")
    return data if isinstance(data, dict) else {}


def _refusal(message: str) -> ApiError:
    return from_answer(400, message)


def _deploy_input(request: CreatePodRequest) -> dict[str, Any]:
    gpu, mounts = request.gpu, request.mounts
    wish: dict[str, Any] = {
        "name": request.name,
        "imageName": request.image,
        "cloudType": request.cloud.value,
        "gpuTypeId": gpu.id if gpu else None,
        "gpuCount": gpu.count if gpu else None,
        "minCudaVersion": gpu.min_cuda_version if gpu else None,
        "containerDiskInGb": request.disk,
        "ports": ",".join(request.ports) if request.ports else None,
        "env": [{"key": name, "value": value} for name, value in (request.env or {}).items()],
        "startSsh": request.start_ssh,
        "dockerArgs": shlex.join(request.cmd) if request.cmd else None,
        "dataCenterId": request.data_center_ids[0] if request.data_center_ids else None,
        "supportPublicIp": True if request.cloud.value == "COMMUNITY" else None,
    }
    if gpu and gpu.min_ram_per_gpu:
        wish["minMemoryInGb"] = gpu.min_ram_per_gpu * gpu.count
    if gpu and gpu.min_vcpu_count_per_gpu:
        wish["minVcpuCount"] = gpu.min_vcpu_count_per_gpu * gpu.count
    if mounts and mounts.persistent:
        wish.update(volumeInGb=mounts.persistent.size, volumeMountPath=mounts.persistent.path)
    elif mounts and mounts.network:
        wish.update(networkVolumeId=mounts.network[0].volume_id, volumeMountPath=mounts.network[0].path)
    return {key: value for key, value in wish.items() if value is not None}
