"""Network volumes: orders of clients, and removing the directories of deleted ones once no container holds them."""

from __future__ import annotations

import dataclasses
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Any

from devpod_rp.localcloud.catalog import Catalog
from devpod_rp.localcloud.crew import Crew
from devpod_rp.localcloud.host import Host
from devpod_rp.localcloud.ledger import Books, Ledger
from devpod_rp.localcloud.problems import bad_request, not_found
from devpod_rp.localcloud.records import NetworkVolume
from devpod_rp.localcloud.storage import Storage

_RELEASE_SECONDS = 30.0


class Volumes:
    """Every order about network volumes."""

    def __init__(
        self, ledger: Ledger, catalog: Catalog, crew: Crew, host: Host, disks: Storage, clock: Callable[[], float]
    ) -> None:
        self._ledger = ledger
        self._catalog = catalog
        self._crew = crew
        self._host = host
        self._disks = disks
        self._clock = clock
        self._reclaiming = threading.Lock()

    def all(self) -> list[NetworkVolume]:
        with self._ledger.transaction() as books:
            return [volume for volume in books.volumes() if not volume.deleted]

    def get(self, volume_id: str) -> NetworkVolume:
        """Raises Problem 404."""
        with self._ledger.transaction() as books:
            return _existing(books, volume_id)

    def create(self, body: Mapping[str, Any]) -> NetworkVolume:
        """A new volume. Raises Problem 400 where the data center has no such storage, naming those that do."""
        center = self._catalog.data_centers.get(body["dataCenter"])
        offered = center.network_volume_types if center else ()
        kind = body.get("type") or (offered[0] if offered else "STANDARD")
        if kind not in offered:
            capable = [each.id for each in self._catalog.data_centers.values() if kind in each.network_volume_types]
            raise bad_request(
                f"Data center {body['dataCenter']} does not support {kind} network volumes. "
                f"Supported data centers: {', '.join(capable)}."
            )
        now = self._clock()
        volume = NetworkVolume(
            id=secrets.token_hex(5),
            name=body["name"],
            size=int(body["size"]),
            data_center=body["dataCenter"],
            type=kind,
            created_at=now,
            billed_until=now,
        )
        with self._ledger.transaction() as books:
            books.save_volume(volume)
        return volume

    def update(self, volume_id: str, body: Mapping[str, Any]) -> NetworkVolume:
        """Rename or grow. Raises Problem 404, or 400 for a smaller size."""
        now = self._clock()
        with self._ledger.transaction() as books:
            books.settle(now)
            volume = _existing(books, volume_id)
            size = int(body.get("size", volume.size))
            if size < volume.size:
                raise bad_request(f"Network volume size cannot be reduced (currently {volume.size} GB).")
            changed = dataclasses.replace(volume, name=body.get("name", volume.name), size=size)
            books.save_volume(changed)
        return changed

    def delete(self, volume_id: str) -> None:
        """Delete the volume with everything on it. Raises Problem 404, or 400 while a pod has it attached."""
        now = self._clock()
        with self._ledger.transaction() as books:
            books.settle(now)
            volume = _existing(books, volume_id)
            users = [pod.id for pod in books.pods() if not pod.status.gone and _attached(pod.network, volume_id)]
            if users:
                raise bad_request(f"Network volume is in use by pod {', '.join(users)} and cannot be deleted.")
            books.save_volume(dataclasses.replace(volume, deleted=True))
        self.reclaim()

    def reclaim(self) -> None:
        """Remove the directories of deleted volumes; one that a dying container still holds waits for a later call."""
        with self._reclaiming:
            self._reclaim()

    def _reclaim(self) -> None:
        with self._ledger.transaction() as books:
            deleted = [volume for volume in books.volumes() if volume.deleted]
            pods = books.pods()
        for volume in deleted:
            dying = [pod.id for pod in pods if pod.status.gone and _attached(pod.network, volume.id)]
            if not self._crew.settled(dying, _RELEASE_SECONDS):
                continue
            self._host.erase(self._disks.network_volume(volume.id))
            with self._ledger.transaction() as books:
                books.forget_volume(volume.id)


def _attached(network: Mapping[str, Any] | None, volume_id: str) -> bool:
    return network is not None and network["volumeId"] == volume_id


def _existing(books: Books, volume_id: str) -> NetworkVolume:
    volume = books.volume(volume_id)
    if volume is None or volume.deleted:
        raise not_found()
    return volume
