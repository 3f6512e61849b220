"""What is said when the pod's disk has no room."""

from __future__ import annotations

from collections.abc import Collection

from devpod_rp.pod.link import AgentLink
from devpod_rp.sync.remote import Destination
from devpod_rp.sync.status import VolumeFullError
from devpod_rp.sync.steps import Result


def volume_full(
    link: AgentLink, destination: Destination, refused: Collection[Result], volume_bytes: int | None
) -> VolumeFullError:
    """That *refused* found no room, and how much of it is missing; *volume_bytes* is the size of the pod's volume, if
    known. Raises LinkLost."""
    wanted = sum(result.action.new.size for result in refused if result.action.new is not None)
    root, state = destination.root, destination.state
    free = int(link.call("root.room", root=root, state=state, size_bytes=volume_bytes).header["free_bytes"])
    # A quota may end before the space that is shown as free.
    lack = f"; {(wanted - free) / 1e6:.1f} MB are missing" if free < wanted else ""
    return VolumeFullError(
        f"The pod's disk is full: {len(refused)} files ({wanted / 1e6:.1f} MB) could not be written to "
        f"{root}{lack}. What was there is unchanged.",
        hint="Free space on the pod, or enlarge the volume; the synchronisation then goes on by itself.",
    )
