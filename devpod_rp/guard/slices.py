"""Collecting a large file of the pod in a part here, slice by slice; a later try goes on at the end of the part."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from devpod_rp.agent.rescue.taking import MAX_SLICE
from devpod_rp.guard.taken import Nonsense, Offer, data, hole
from devpod_rp.pod.link import AgentLink


def collect(link: AgentLink, offer: Offer, part: Path, show: Callable[[int], None]) -> None:
    """Complete *part* with the content of *offer*; *show* is told how many bytes more are there, holes included.

    Raises:
        AgentRefused: "changed", when the file is no longer in the offered state.
        OSError: *part* cannot be written.
    """
    size = offer.stamp.size
    with part.open("ab") as made:
        offset = made.tell()
    if offset > size:
        offset = 0
    show(offset)
    with part.open("r+b") as stream:
        stream.truncate(offset)
        stream.seek(offset)
        while offset < size:
            before = offset
            stamp = list(offer.stamp)
            for frame in link.stream("take.slice", path=offer.path, stamp=stamp, offset=offset, size=MAX_SLICE):
                more = hole(frame, size - offset)
                if more:
                    stream.seek(more, os.SEEK_CUR)
                    # At once, so that the length of the part always says how far it is.
                    stream.truncate(offset + more)
                else:
                    content = data(frame)
                    more = len(content)
                    if more > size - offset:
                        raise Nonsense()
                    stream.write(content)
                offset += more
                show(more)
            if offset == before:
                raise Nonsense()
