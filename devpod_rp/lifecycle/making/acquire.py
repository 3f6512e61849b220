"""Getting a machine: candidate by candidate, by RunPod's retry table, never two pods, never one that nobody remembers.

422 is never repeated, 400 means the next candidate, 402 the end, 403 the next, 429 a wait, 5xx the same again with
backoff (POST /v2/pods, "retry guidance"). Before every call an intent is on disk.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devpod_rp import environments
from devpod_rp.environments import Environment
from devpod_rp.errors import DevpodError, NoCapacityError
from devpod_rp.lifecycle.account import provision
from devpod_rp.lifecycle.making.boot import UnfitHost
from devpod_rp.lifecycle.making.request import pod_request
from devpod_rp.lifecycle.market import bad_hosts
from devpod_rp.lifecycle.market.placement import BadHost, Candidate, Ranking, avoiding
from devpod_rp.progress import Event, Progress

if TYPE_CHECKING:
    from devpod_rp.runpod.client import RunPod
    from devpod_rp.runpod.model import CreatePodRequest, Pod
    from devpod_rp.spec.model import EnvironmentSpec

_SAME_AGAIN = 4
_FIRST_PAUSE_SECONDS = 1.0
_MOST_BAD_HOSTS = 3
_SHORTEST_WAIT_SECONDS = 5.0
_LONGEST_WAIT_SECONDS = 60.0
# Prices are quoted to the cent; what is dearer by less than this is rounding.
_PRICE_TOLERANCE = 0.005


@dataclass(frozen=True)
class Attempt:
    """One candidate that was asked for in vain, and why it was not to be had."""

    candidate: Candidate
    reason: str

    def as_json(self) -> dict[str, Any]:
        return {**self.candidate.as_json(), "reason": self.reason}


class NothingToBeHad(NoCapacityError):
    """No candidate worked out; *attempts* tells what was tried and why each failed, in order."""

    def __init__(self, attempts: tuple[Attempt, ...], *, waited_seconds: float = 0.0) -> None:
        waited = f" within {waited_seconds / 60:.0f} minutes" if waited_seconds else ""
        super().__init__(
            f"No machine could be had{waited}; {len(attempts)} attempts failed, and nothing is billing.",
            hint="name more GPUs (--gpu 'any>=24GB'), another tier (--tier any), or wait: --wait-capacity 30m.",
        )
        self.attempts = attempts

    def details(self) -> list[str]:
        return [
            f"{each.candidate.machine}, {each.candidate.tier.lower()}, ${each.candidate.price_per_hour:.2f}/h: "
            f"{each.reason}"
            for each in self.attempts
        ]

    def as_json(self) -> dict[str, object]:
        document = super().as_json()
        assert isinstance(document["error"], dict)
        document["error"]["attempts"] = [each.as_json() for each in self.attempts]
        return document


class Search:
    """One search for a machine for *environment*; *finish* takes a pod that exists to one that can be used.

    *ranked* is asked again before every round, because stock changes while we wait.
    """

    def __init__(
        self,
        spec: EnvironmentSpec,
        ranked: Callable[[], Ranking],
        public_key: str,
        client: RunPod,
        finish: Callable[[Environment], Environment],
        progress: Progress,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._spec = spec
        self._ranked = ranked
        self._public_key = public_key
        self._client = client
        self._finish = finish
        self._progress = progress
        self._clock = clock
        self._sleep = sleep
        self._attempts: list[Attempt] = []
        self._bad = 0

    def run(self, environment: Environment, *, wait_seconds: float = 0.0) -> Environment:
        """The record of a pod that is up, made for *environment*.

        With *wait_seconds* it keeps asking for so long, at growing intervals of up to a minute. Whenever it is
        interrupted, at most one pod exists, and the record or the intent names it.

        Raises:
            NothingToBeHad: no candidate worked out; every pod that was made meanwhile is terminated.
            DevpodError: what no other candidate would cure (key, balance, request).
        """
        began = self._clock()
        pause = _SHORTEST_WAIT_SECONDS
        while True:
            found = self._round(environment)
            if found is not None:
                return found
            left = began + wait_seconds - self._clock()
            if left <= 0:
                raise NothingToBeHad(tuple(self._attempts), waited_seconds=wait_seconds)
            pause = min(pause, left)
            minutes = left / 60
            self._progress(Event("place", f"Nothing free; asking again in {pause:.0f} s, for {minutes:.0f} minutes"))
            self._sleep(pause)
            pause = min(pause * 1.5, _LONGEST_WAIT_SECONDS)

    def _round(self, environment: Environment) -> Environment | None:
        """Ask for every candidate once, best first."""
        queue = list(avoiding(self._ranked().candidates, bad_hosts.recent(environment.cloud)))
        number = 0
        while queue:
            candidate = queue.pop(0)
            number += 1
            self._progress(Event("place", _asking(candidate, number, number + len(queue))))
            created = self._create(environment, candidate)
            if created is None:
                continue
            try:
                return self._finish(created)
            except UnfitHost as error:
                self._discard(created, candidate, error)
                if self._bad >= _MOST_BAD_HOSTS:
                    raise
                rest = avoiding([candidate, *queue], bad_hosts.recent(environment.cloud))
                # In another data center it is another candidate; the very same one just failed.
                queue = [each for each in rest if each != candidate]
        return None

    def _create(self, environment: Environment, candidate: Candidate) -> Environment | None:
        """The record with a new pod on *candidate*, or None if it is not to be had."""
        from devpod_rp.runpod.errors import Forbidden, NoCapacity

        provision.announce(environment, "create", {"candidate": candidate.machine})
        try:
            pod = self._ask(environment, candidate)
        except (NoCapacity, Forbidden) as error:
            environments.clear_intent(environment.name)
            self._failed(candidate, error.detail)
            return None
        except DevpodError as error:
            if not provision.may_have_happened(error):
                environments.clear_intent(environment.name)
            raise
        asked = dataclasses.replace(environment, bid_per_gpu=candidate.bid_per_gpu)
        created = provision.remember(asked, pod, gpu=candidate.machine)
        # One request has been seen to make two pods; the second would bill unseen.
        provision.sole_pod(created, self._client, self._progress)
        environments.clear_intent(environment.name)
        quoted = candidate.price_per_hour
        if pod.cost > quoted + _PRICE_TOLERANCE:
            self._client.delete_pod(pod.id)
            provision.forget_pod(created)
            self._failed(candidate, f"costs ${pod.cost:.2f}/h instead of ${quoted:.2f}/h; terminated at once")
            return None
        return created

    def _ask(self, environment: Environment, candidate: Candidate) -> Pod:
        """POST, the same again while the cloud fails; a lost answer is settled by looking for the pod's name."""
        from devpod_rp.runpod.errors import Ambiguous

        request = pod_request(environment, self._spec, candidate, self._public_key)
        pause = _FIRST_PAUSE_SECONDS
        for left in reversed(range(_SAME_AGAIN)):
            try:
                if candidate.bid_per_gpu is None:
                    return self._client.create_pod(request)
                return self._rented(request, candidate.bid_per_gpu)
            except Ambiguous as error:
                self._progress(Event("place", f"{candidate.machine}: {error.message}", warning=True))
                found = provision.sole_pod(environment, self._client, self._progress)
                if found is not None:
                    return found
                if not left:
                    raise
                self._sleep(pause)
                pause *= 2
                found = provision.sole_pod(environment, self._client, self._progress)
                if found is not None:
                    return found
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _rented(self, request: CreatePodRequest, bid_per_gpu: float) -> Pod:
        """A spot pod. Raises Ambiguous if it was made and cannot be looked at."""
        from devpod_rp.runpod.errors import Ambiguous

        pod_id = self._client.spot.rent(request, bid_per_gpu)
        try:
            return self._client.get_pod(pod_id)
        except DevpodError as error:
            raise Ambiguous(f"Pod {pod_id} was made and cannot be looked at: {error.message}") from error

    def _discard(self, created: Environment, candidate: Candidate, error: UnfitHost) -> None:
        """Terminate a pod whose host is no good, and remember the host."""
        assert created.pod_id is not None
        self._bad += 1
        self._failed(candidate, error.message.rstrip("."))
        center = provision.data_center_of(created, self._client)
        booted = environments.load(created.name)
        host = booted.ssh.host if booted.ssh and booted.ssh != created.ssh else None
        self._client.delete_pod(created.pod_id)
        provision.forget_pod(booted)
        bad_hosts.remember(created.cloud, BadHost(candidate.id, center, host, error.message))

    def _failed(self, candidate: Candidate, reason: str) -> None:
        self._attempts.append(Attempt(candidate, reason))
        self._progress(Event("place", f"{candidate.machine}: {reason}", warning=True))


def _asking(candidate: Candidate, number: int, total: int) -> str:
    where = f" in {', '.join(candidate.data_centers)}" if candidate.data_centers else ""
    spot = " as a spot pod" if candidate.bid_per_gpu is not None else ""
    price = f"${candidate.price_per_hour:.2f}/h, stock {candidate.stock}"
    return f"Asking for {candidate.machine}{spot}{where}, {candidate.tier.lower()} cloud, {price} ({number} of {total})"
