"""The operations on rescues: make one, list those that are there."""

from __future__ import annotations

import json
import os
import time
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

from devpod_rp.agent.exposure import manifest
from devpod_rp.agent.exposure.examine import survey_mounts
from devpod_rp.agent.exposure.manifest import Manifest
from devpod_rp.agent.machine.container import identity
from devpod_rp.agent.rescue.saving import rescue
from devpod_rp.agent.rescue.shelf import remains
from devpod_rp.agent.wire import Handler, Refusal, Request

_PROGRESS_SECONDS = 0.2


def operations(root: str = "/", proc: Path = Path("/proc")) -> Dict[str, Handler]:
    """The operations for the container whose disk is at *root* and whose kernel speaks through *proc*."""
    return {"rescue.copy": partial(_copy, root, proc), "rescue.list": partial(_list, root)}


def _copy(root: str, proc: Path, request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """Op ``rescue.copy {volume, size_bytes}``, body: a JSON list of paths, most precious first.

    Progress frames ``{files, bytes}``, then ``{destination, files, bytes}`` and a body ``{failed, no_room}``.
    """
    volume = str(request.header.get("volume", ""))
    paths = json.loads(request.body)
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise Refusal("bad-request", "rescue.copy needs a list of paths")
    steps = rescue(
        paths,
        volume,
        survey_mounts([volume], proc=proc),
        root=root,
        size_bytes=request.header.get("size_bytes"),
        container=identity(proc),
    )
    shown_at = time.monotonic()
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result: Manifest = end.value
            break
        if time.monotonic() - shown_at >= _PROGRESS_SECONDS:
            shown_at = time.monotonic()
            yield {"files": step.files, "bytes": step.size_bytes}, b""
    header = {"destination": result.destination, "files": len(result.saved), "bytes": result.size_bytes}
    yield header, json.dumps({"failed": result.failed, "no_room": sorted(result.no_room)}).encode("ascii")


def _list(root: str, request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """The rescues on a volume, oldest first; *complete* is False for the remains of one that was cut off."""
    volume = str(request.header.get("volume", ""))
    rescues = []
    physical = root.rstrip("/") + volume
    for name in manifest.finished(physical):
        destination = os.path.join(volume, manifest.RESCUES, name)
        try:
            one = manifest.read(os.path.join(physical, manifest.RESCUES, name))
        except (OSError, ValueError):
            files, size = remains(os.path.join(physical, manifest.RESCUES, name))
            rescues.append(
                {
                    "destination": destination,
                    "created_at": name,
                    "files": files,
                    "bytes": size,
                    "complete": False,
                    "container": "",
                }
            )
            continue
        rescues.append(
            {
                "destination": destination,
                "created_at": one.created_at,
                "files": len(one.saved),
                "bytes": one.size_bytes,
                "complete": True,
                "container": one.container,
            }
        )
    yield {"rescues": len(rescues)}, json.dumps(rescues).encode("ascii")


OPERATIONS = operations()
