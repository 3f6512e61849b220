"""The orders a client gives about pods, as transactions on the ledger. What follows from them is ``worker.py``'s.

Each order settles the bill first, then rewrites the pod's record, and only after the commit wakes the pod's worker.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from devpod_rp.localcloud import drafts, templates, terms
from devpod_rp.localcloud.catalog import Catalog
from devpod_rp.localcloud.faults import Faults, parse
from devpod_rp.localcloud.ledger import Books, Ledger
from devpod_rp.localcloud.market import Market
from devpod_rp.localcloud.placement import place
from devpod_rp.localcloud.problems import (
    NoFreeGpus,
    bad_request,
    conflict,
    insufficient_balance,
    not_found,
)
from devpod_rp.localcloud.records import NetworkVolume, Pod, Status

_ACTIONS: Mapping[Status, tuple[str, ...]] = {
    Status.PROVISIONING: ("stop", "terminate"),
    Status.STARTING: ("stop", "terminate"),
    Status.RUNNING: ("stop", "restart", "terminate"),
    Status.EXITED: ("start", "terminate"),
    Status.ERROR: ("start", "terminate"),
    Status.TERMINATED: (),
}
_SHORTEST_CREDIT_HOURS = 1.0


def actions(pod: Pod) -> tuple[str, ...]:
    """The actions the API offers for *pod* now; a locked pod can only be started."""
    offered = _ACTIONS[pod.status]
    return tuple(action for action in offered if action == "start") if pod.locked else offered


class Pods:
    """Every order about pods. *wake* is told the id of each pod that an order touched, after the commit."""

    def __init__(
        self,
        ledger: Ledger,
        catalog: Catalog,
        wake: Callable[[str], None],
        clock: Callable[[], float],
        missing_support: Callable[[], str | None],
    ) -> None:
        self._ledger = ledger
        self._catalog = catalog
        self._wake = wake
        self._clock = clock
        self._missing_support = missing_support

    # -- reading ----------------------------------------------------------------------------------------------------
    def all(self) -> list[Pod]:
        """Every pod that a client may see, newest first."""
        with self._ledger.transaction() as books:
            return [pod for pod in books.pods() if not pod.status.gone]

    def get(self, pod_id: str) -> Pod:
        """Raises Problem 404 for a pod that does not exist (any more)."""
        with self._ledger.transaction() as books:
            return _existing(books, pod_id)

    # -- orders -----------------------------------------------------------------------------------------------------
    def create(self, body: Mapping[str, Any], *, price_factor: float = 1.0, bid_per_gpu: float | None = None) -> Pod:
        """A new pod, PROVISIONING, for the validated create body *body*, at *price_factor* times the catalog's price.

        With *bid_per_gpu* (USD per hour) it is a spot pod, which costs its bid.

        Raises:
            Problem: 400, 402, 404 or 422 as RunPod refuses it.
        """
        self._require_support()
        now = self._clock()
        with self._ledger.transaction() as books:
            books.settle(now)
            request = templates.applied_to_create(body, books, self._catalog)
            drafts.check_request(request)
            volume = _network_volume(request, books)
            market = self._market(books)
            found = place(request, market, volume)
            price = found.price_per_hour
            if bid_per_gpu is not None:
                price = terms.spot_price(found.gpu, request.get("cloud", "SECURE"), bid_per_gpu, market)
            found = dataclasses.replace(found, price_per_hour=price * price_factor)
            _check_credit(books, market.faults, found.price_per_hour)
            pod = drafts.new_pod(request, found, now, books.get("ssh_keys", []))
            pod = dataclasses.replace(pod, bid_per_gpu=bid_per_gpu)
            books.save_pod(pod)
            books.note(pod.id, now, f"allocating a machine in {pod.data_center}")
        self._wake(pod.id)
        return pod

    def act(self, pod_id: str, action: str) -> Pod | None:
        """Carry out *action*; the pod as it is then, None after terminate.

        Raises:
            Problem: 404; 409 for an action the pod's status does not admit; 400 if its host has no free GPU.
        """
        if action == "terminate":
            self.terminate(pod_id)
            return None
        if action != "stop":
            self._require_support()
        now = self._clock()
        with self._ledger.transaction() as books:
            books.settle(now)
            pod = _existing(books, pod_id)
            if action not in actions(pod):
                reason = "pod is locked" if pod.locked else f"pod is {pod.status.value}"
                raise conflict(f"Action '{action}' is not valid for the current pod status: {reason}.")
            asked = pod if action == "stop" else dataclasses.replace(pod, without_gpu=False)
            changed = self._after(action, asked, books)
            books.save_pod(changed)
            books.note(pod_id, now, f"{action} requested")
        self._wake(pod_id)
        return changed

    def start(self, pod_id: str, *, bid_per_gpu: float | None = None, without_gpu: bool = False) -> Pod:
        """Start a stopped pod on other terms than REST v2 knows: as a spot pod with that bid (USD per hour), on demand
        whatever it was before, or without its GPUs.

        Raises:
            Problem: as `act`.
        """
        self._require_support()
        now = self._clock()
        with self._ledger.transaction() as books:
            books.settle(now)
            pod = _existing(books, pod_id)
            if "start" not in actions(pod):
                raise conflict(f"Action 'start' is not valid for the current pod status: pod is {pod.status.value}.")
            wanted = dataclasses.replace(pod, bid_per_gpu=bid_per_gpu, without_gpu=without_gpu)
            changed = self._after("start", wanted, books)
            books.save_pod(changed)
            books.note(pod_id, now, "start requested" + (" without GPUs" if without_gpu else ""))
        self._wake(pod_id)
        return changed

    def preempt(self, pod_id: str) -> Pod:
        """What happens to a spot pod that is outbid: SIGTERM, five seconds later SIGKILL, then EXITED.

        Raises:
            Problem: 404; 409 for a pod that is not a running spot pod.
        """
        now = self._clock()
        with self._ledger.transaction() as books:
            books.settle(now)
            pod = _existing(books, pod_id)
            if pod.bid_per_gpu is None or not pod.status.active:
                raise conflict("Only a running spot pod can be preempted.")
            changed = dataclasses.replace(_stopped(pod), preempted=True)
            books.save_pod(changed)
            books.note(pod_id, now, "preempted: outbid")
        self._wake(pod_id)
        return changed

    def update(self, pod_id: str, body: Mapping[str, Any]) -> Pod:
        """Apply the validated PATCH *body*. A change of the container resets it: the container disk is wiped.

        Raises:
            Problem: 404; 409 for a locked pod; 400 for a change of mounts that RunPod does not allow.
        """
        now = self._clock()
        with self._ledger.transaction() as books:
            books.settle(now)
            pod = _existing(books, pod_id)
            if pod.locked and body.get("locked") is not False:
                raise conflict("The pod is locked; unlock it first.")
            request = templates.applied_to_update(body, books, self._catalog)
            changed = drafts.edited(pod, request, self._catalog)
            if drafts.container(changed) != drafts.container(pod):
                changed = _reset(changed)
                books.note(pod_id, now, "configuration changed: the container is reset")
            books.save_pod(changed)
        self._wake(pod_id)
        return changed

    def terminate(self, pod_id: str) -> None:
        """Delete the pod for ever, its volume disk included. Raises Problem 404, or 409 for a locked pod."""
        now = self._clock()
        with self._ledger.transaction() as books:
            books.settle(now)
            pod = _existing(books, pod_id)
            if pod.locked:
                raise conflict("The pod is locked; unlock it first.")
            books.save_pod(_terminated(pod))
            books.note(pod_id, now, "terminate requested")
        self._wake(pod_id)

    def collect_debts(self) -> list[str]:
        """What happens at zero balance: pods that cost money are stopped; with the fault ``zero_balance: runpod``,
        those without a network volume are terminated, as on RunPod. The ids of the pods that were ended.
        """
        now = self._clock()
        with self._ledger.transaction() as books:
            books.settle(now)
            if books.balance_usd > 0:
                return []
            destroy = faults_of(books).zero_balance == "runpod"
            ended = []
            for pod in books.pods():
                if pod.status.gone or not (pod.status.active or (destroy and not pod.network)):
                    continue
                books.save_pod(_terminated(pod) if destroy and not pod.network else _stopped(pod))
                books.note(pod.id, now, "the account has no credit left")
                ended.append(pod.id)
        for pod_id in ended:
            self._wake(pod_id)
        return ended

    def maintain(self, faults: Faults) -> None:
        """Stop the pods on hosts that *faults* put under maintenance, and end those whose hosts are gone for good."""
        now = self._clock()
        with self._ledger.transaction() as books:
            books.settle(now)
            affected = []
            for pod in books.pods():
                fault = faults.hosts.get(pod.data_center)
                if fault == "maintenance" and pod.status.active:
                    books.save_pod(_stopped(pod))
                    books.note(pod.id, now, "stopped: the host is under maintenance")
                elif fault == "gone" and not pod.status.gone:
                    books.save_pod(_terminated(pod))
                    books.note(pod.id, now, "terminated: the host is gone")
                else:
                    continue
                affected.append(pod)
        for pod in affected:
            self._wake(pod.id)

    def _after(self, action: str, pod: Pod, books: Books) -> Pod:
        if action == "stop":
            return _stopped(pod)
        market = self._market(books)
        scarce = market.faults.start == "not-enough-gpus" and not pod.without_gpu
        if scarce or market.faults.hosts.get(pod.data_center) == "maintenance":
            raise NoFreeGpus
        if action == "restart":
            return dataclasses.replace(_reset(pod), status=Status.STARTING)
        pod = dataclasses.replace(pod, preempted=False)
        price = terms.price_at_start(pod, market)
        _check_credit(books, market.faults, price)
        gpu = {**pod.gpu, "count": 0} if pod.gpu and market.faults.hosts.get(pod.data_center) == "no-gpu" else pod.gpu
        return dataclasses.replace(_reset(pod), status=Status.STARTING, price_per_hour=price, failure=None, gpu=gpu)

    def _market(self, books: Books) -> Market:
        return Market(self._catalog, faults_of(books), books.pods())

    def _require_support(self) -> None:
        missing = self._missing_support()
        if missing:
            raise bad_request(missing)


def faults_of(books: Books) -> Faults:
    """The faults that are set now."""
    return parse(books.get("faults", {}))


# -- the state machine: one function per order ---------------------------------------------------------------------
def _stopped(pod: Pod) -> Pod:
    return dataclasses.replace(_reset(pod), status=Status.EXITED)


def _reset(pod: Pod) -> Pod:
    """The container is another one from now on, and its disk starts from the image. A pod that was running starts
    again; a stopped one stays stopped. After an ERROR nobody ordered a wipe yet: the disk keeps what was on it."""
    status = Status.STARTING if pod.status is Status.RUNNING else pod.status
    wipe = pod.wipe or pod.status is not Status.ERROR
    return dataclasses.replace(pod, status=status, generation=pod.generation + 1, wipe=wipe, started_at=None)


def _terminated(pod: Pod) -> Pod:
    return dataclasses.replace(pod, status=Status.TERMINATED, generation=pod.generation + 1, wipe=True)


def _network_volume(request: Mapping[str, Any], books: Books) -> NetworkVolume | None:
    networks = request.get("mounts", {}).get("network")
    if not networks:
        return None
    volume = books.volume(networks[0]["volumeId"])
    if volume is None or volume.deleted:
        raise bad_request("The network volume does not exist.")
    return volume


def _check_credit(books: Books, faults: Faults, price_per_hour: float) -> None:
    short = books.balance_usd < price_per_hour * _SHORTEST_CREDIT_HOURS
    if short or faults.create == "insufficient-balance":
        raise insufficient_balance()


def _existing(books: Books, pod_id: str) -> Pod:
    pod = books.pod(pod_id)
    if pod is None or pod.status.gone:
        raise not_found()
    return pod
