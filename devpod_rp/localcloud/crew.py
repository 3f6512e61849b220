"""The workers of all pods: starting them, waking them, and making the world what the ledger says after a crash."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Collection

from devpod_rp.localcloud import storage
from devpod_rp.localcloud.delays import Delays
from devpod_rp.localcloud.host import Host
from devpod_rp.localcloud.ledger import Ledger
from devpod_rp.localcloud.records import Status
from devpod_rp.localcloud.storage import Storage
from devpod_rp.localcloud.worker import Worker

log = logging.getLogger(__name__)


class Crew:
    """All workers. ``wake`` starts a pod's worker or makes it look again; ``close`` ends every container."""

    def __init__(self, ledger: Ledger, host: Host, disks: Storage, delays: Delays, clock: Callable[[], float]) -> None:
        self._ledger = ledger
        self._host = host
        self._disks = disks
        self._delays = delays
        self._clock = clock
        self._lock = threading.Lock()
        self._workers: dict[str, Worker] = {}
        self._closing = False

    def wake(self, pod_id: str) -> None:
        with self._lock:
            if self._closing:
                return
            worker = self._workers.get(pod_id)
            if worker is None or not worker.look_again():
                worker = Worker(pod_id, self._ledger, self._host, self._disks, self._delays, self._clock)
                self._workers[pod_id] = worker
                worker.begin()

    def recover(self) -> None:
        """Make the world what the ledger says after the last server died: end strays, bring pods up again on their
        container disks, finish half-done stops and deletions.
        """
        storage.make(self._disks.pods)
        strays = self._host.sweep(self._disks.pods, ())
        if strays:
            log.info("swept strays=%s", ",".join(strays))
        with self._ledger.transaction() as books:
            for pod in books.pods():
                # Its container died with the server, so its old address must not be shown for a moment longer.
                if pod.status is Status.RUNNING:
                    books.save_pod(dataclasses.replace(pod, status=Status.STARTING, started_at=None))
            unfinished = [pod.id for pod in books.pods() if pod.status.active or pod.wipe or pod.status.gone]
        for pod_id in unfinished:
            self.wake(pod_id)

    def containers(self) -> dict[str, int]:
        """The pods whose container runs, with the process id of its first process."""
        with self._lock:
            workers = list(self._workers.values())
        return {worker.pod_id: pid for worker in workers if (pid := worker.pid) is not None}

    def settled(self, pod_ids: Collection[str], timeout: float) -> bool:
        """Wait until the workers of *pod_ids* have nothing left to do; whether that happened within *timeout*."""
        deadline = time.monotonic() + timeout
        for pod_id in pod_ids:
            with self._lock:
                worker = self._workers.get(pod_id)
            if worker is not None and not worker.settled(max(0.0, deadline - time.monotonic())):
                return False
        return True

    def idle(self) -> bool:
        """Whether no worker has anything to run or to finish."""
        with self._lock:
            return not any(worker.busy for worker in self._workers.values())

    def close(self) -> None:
        """End every container and thread. The ledger keeps what was ordered, so that the next start resumes it."""
        with self._lock:
            self._closing = True
            workers = list(self._workers.values())
        for worker in workers:
            worker.quit()
        for worker in workers:
            worker.join()
