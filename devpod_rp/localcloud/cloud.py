"""The local cloud as one object: ledger, catalog, pods and their workers, network volumes, faults, heartbeat."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from devpod_rp.localcloud import catalog, storage
from devpod_rp.localcloud.crew import Crew
from devpod_rp.localcloud.faults import Faults, parse
from devpod_rp.localcloud.host import Host
from devpod_rp.localcloud.ledger import Ledger
from devpod_rp.localcloud.market import Market
from devpod_rp.localcloud.pods import Pods, faults_of
from devpod_rp.localcloud.problems import Problem
from devpod_rp.localcloud.records import Status
from devpod_rp.localcloud.settings import Settings
from devpod_rp.localcloud.storage import Storage
from devpod_rp.localcloud.volumes import Volumes

log = logging.getLogger(__name__)

_RESET_SECONDS = 90.0


class Cloud:
    """Everything behind the API. ``open`` recovers the ledger's truth, ``close`` ends every container."""

    def __init__(self, settings: Settings, host: Host, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self.host = host
        self.clock = clock
        self.started_at = clock()
        self.closing = threading.Event()
        self.catalog = catalog.load(settings.user_catalog)
        storage.make(settings.root)
        settings.root.chmod(0o700)
        self.disks = Storage(settings.root)
        self.ledger = Ledger(settings.ledger)
        self.crew = Crew(self.ledger, host, self.disks, settings.delays, clock)
        self.pods = Pods(self.ledger, self.catalog, self.crew.wake, clock, self._missing_support)
        self.volumes = Volumes(self.ledger, self.catalog, self.crew, host, self.disks, clock)
        self.support = host.probe()
        self._heart = threading.Thread(target=self._beat, name="heartbeat")

    def open(self) -> None:
        """Bring everything the ledger promises back to life and start the heartbeat."""
        now = self.clock()
        with self.ledger.transaction() as books:
            if books.get("balance") is None:
                books.put("balance", self.catalog.balance_usd)
            books.forgive(now)
        self.crew.recover()
        self._heart.start()

    def close(self) -> None:
        """End every container and thread, charge what is due, close the ledger. Pods resume at the next ``open``."""
        self.closing.set()
        if self._heart.is_alive():
            self._heart.join()
        with self.ledger.transaction() as books:
            books.settle(self.clock())
        self.crew.close()
        self.ledger.close()

    def reset(self) -> dict[str, int]:
        """Terminate every pod, delete every volume, forget all history; returns how many of each there were.

        Ordered through the ledger like any termination, so that a crash half-way is finished by the next start.

        Raises:
            Problem: 500, something could not be removed; what it was is in the server's log.
        """
        now = self.clock()
        with self.ledger.transaction() as books:
            pods = books.pods()
            volumes = books.volumes()
            for pod in pods:
                books.save_pod(
                    dataclasses.replace(
                        pod, status=Status.TERMINATED, generation=pod.generation + 1, wipe=True, locked=False
                    )
                )
            for volume in volumes:
                books.save_volume(dataclasses.replace(volume, deleted=True))
        for pod in pods:
            self.crew.wake(pod.id)
        if not self.crew.settled([pod.id for pod in pods], _RESET_SECONDS):
            raise Problem(500, f"Some pods could not be removed; see {self.settings.log}.")
        self.volumes.reclaim()
        with self.ledger.transaction() as books:
            books.erase()
            books.put("faults", {})
            books.put("ssh_keys", [])
            books.put("balance", self.catalog.balance_usd)
            books.put("heartbeat", now)
        log.info("reset pods=%d volumes=%d", len(pods), len(volumes))
        return {"pods": sum(not pod.status.gone for pod in pods), "networkVolumes": len(volumes)}

    def market(self) -> Market:
        """Prices and stock as they are now."""
        with self.ledger.transaction() as books:
            return Market(self.catalog, faults_of(books), books.pods())

    def faults(self) -> Faults:
        with self.ledger.transaction() as books:
            return faults_of(books)

    def set_faults(self, document: object) -> Faults:
        """Replace all faults; ``{}`` clears them. Raises Problem 422."""
        faults = parse(document)
        with self.ledger.transaction() as books:
            books.put("faults", faults.document())
        self.pods.maintain(faults)
        log.info("faults set=%s", ",".join(sorted(faults.document())) or "none")
        return faults

    def next_create_step(self) -> str:
        """What the rehearsed script wants to become of the create at hand; "ok" without a script."""
        with self.ledger.transaction() as books:
            faults = faults_of(books)
            if not faults.create_script:
                return "ok"
            step, *rest = faults.create_script
            books.put("faults", dataclasses.replace(faults, create_script=tuple(rest)).document())
        return step

    def container_log(self, pod_id: str) -> Path:
        return self.host.container_log(self.disks.pod_directory(pod_id))

    def status(self) -> dict[str, Any]:
        """What ``GET /local/status`` says, except for facts of the process."""
        running = self.crew.containers()
        self._missing_support()
        with self.ledger.transaction() as books:
            books.settle(self.clock())
            balance = books.balance_usd
            pods = [pod for pod in books.pods() if not pod.status.gone]
        return {
            "simulated": True,
            "pods": [
                {
                    "id": pod.id,
                    "name": pod.name,
                    "status": pod.status.value,
                    "failure": pod.failure,
                    "ssh_port": pod.external_ports.get("22/tcp") if pod.status is Status.RUNNING else None,
                    "container_pid": running.get(pod.id),
                }
                for pod in pods
            ],
            "sandbox": dataclasses.asdict(self.support),
            "balance_usd": round(balance, 6),
        }

    def idle(self) -> bool:
        """Whether nothing would be missed if the server ended: no pod is live and no work is under way."""
        if not self.crew.idle():
            return False
        with self.ledger.transaction() as books:
            return not any(pod.status.active for pod in books.pods())

    def _missing_support(self) -> str | None:
        if self.support.available:
            return None
        # Asked again: the user may have repaired it while the server was running.
        self.support = self.host.probe()
        if self.support.available:
            return None
        return " ".join(filter(None, ["This machine cannot run pods:", self.support.missing, self.support.hint]))

    def _beat(self) -> None:
        while not self.closing.is_set():
            try:
                # Deletions that a crash or a slow container left unfinished.
                self.volumes.reclaim()
                ended = self.pods.collect_debts()
                if ended:
                    log.warning("no credit left, ended pods=%s", ",".join(ended))
            except Exception:
                # A full disk, say: the next beat may find it repaired, and pods must not go unwatched until then.
                log.exception("heartbeat failed")
            self.closing.wait(self.settings.heartbeat_seconds)
