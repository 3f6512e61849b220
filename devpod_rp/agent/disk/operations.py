"""The operations on kept disks: note what the image brought, keep the disk, list what is kept, put it back."""

from __future__ import annotations

import json
import os
import re
import time
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

from devpod_rp.agent.archive import restored
from devpod_rp.agent.archive.racks import Archive, Rack, store_of
from devpod_rp.agent.disk import census
from devpod_rp.agent.disk.delta import Choice
from devpod_rp.agent.disk.keeping import Order, keep
from devpod_rp.agent.disk.putting_back import Wish, is_due, put_back
from devpod_rp.agent.exposure import baseline as baselines
from devpod_rp.agent.exposure.examine import since_ns, survey_mounts
from devpod_rp.agent.machine.container import Seals
from devpod_rp.agent.rescue.keepsakes import NoLoss
from devpod_rp.agent.wire import Handler, Refusal, Request

_PROGRESS_SECONDS = 0.2

Replies = Iterator[Tuple[Dict[str, Any], bytes]]


def operations(root: str = "/", proc: Path = Path("/proc")) -> Dict[str, Handler]:
    """The operations for the container whose disk is at *root* and whose kernel speaks through *proc*."""
    return {
        "disk.census": partial(_census, root, proc),
        "disk.keep": partial(_keep, root, proc),
        "disk.list": partial(_list, root),
        "disk.restore": partial(_restore, root, proc),
    }


def _census(root: str, proc: Path, request: Request) -> Replies:
    """Op ``disk.census {volume, fresh}``: note what the image brought, once; ``{taken}``.

    *fresh*: nobody could reach the container yet, so that everything on it is the image's and its start's.
    """
    if census.is_there(root):
        yield {"taken": False}, b""
        return
    survey = survey_mounts([_text(request, "volume")], proc=proc)
    try:
        boot = baselines.load(root)
    except ValueError as error:
        raise Refusal("unexpected", str(error)) from error
    fresh = request.header.get("fresh") is True
    found = census.take(survey, Seals(proc), since_ns(boot, proc), boot, fresh=fresh, root=root)
    census.store(found, root)
    yield {"taken": True, "names": len(found.names)}, b""


def order_of(document: Dict[str, Any]) -> Order:
    """What to keep, as the launcher says it. Raises KeyError, TypeError, ValueError or re.error for anything else."""
    below = document["below"]
    if not isinstance(below, list) or not all(isinstance(path, str) and path.startswith(("/", "~/")) for path in below):
        raise ValueError("not a list of paths")
    size = document["size_bytes"]
    return Order(
        str(document["volume"]),
        str(document["environment"]),
        str(document["image"]),
        Choice(
            NoLoss(document["discard"]),
            everything=bool(document["everything"]),
            below=[os.path.expanduser(path) for path in below],
            venvs=bool(document["venvs"]),
        ),
        None if size is None else int(size),
    )


def _keep(root: str, proc: Path, request: Request) -> Replies:
    """Op ``disk.keep``, body: an order as JSON. Progress ``{phase, files, bytes, total}``, then ``{name, directory,
    fresh, about}`` and a body that maps what could not be read to the reason."""
    try:
        order = order_of(json.loads(request.body))
    except (KeyError, TypeError, ValueError, re.error) as error:
        raise Refusal("bad-request", "not an order to keep a disk: {0!r}".format(error)) from error
    steps = keep(order, root=root, proc=proc)
    shown_at = time.monotonic()
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            kept = end.value
            break
        if time.monotonic() - shown_at >= _PROGRESS_SECONDS:
            shown_at = time.monotonic()
            yield {"phase": step.phase, "files": step.files, "bytes": step.size_bytes, "total": step.total}, b""
    header = {
        "name": kept.name,
        "directory": "{0}/{1}".format(store_of(order.volume, order.environment), kept.name),
        "fresh": kept.fresh,
        "about": kept.about._asdict(),
    }
    yield header, json.dumps(kept.failed).encode("ascii")


def _list(root: str, request: Request) -> Replies:
    """Op ``disk.list {volume, environment}``: the archives, oldest first, as JSON; ``{restored, done}`` tell which one
    was put back on this disk, and whether all of it was gone through."""
    store = store_of(_text(request, "volume"), _text(request, "environment"))
    rows: List[Dict[str, Any]] = [
        {"name": each.name, "directory": "{0}/{1}".format(store, each.name), "held": each.held, **each.about._asdict()}
        for each in Rack(root.rstrip("/") + store).archives()
    ]
    note = restored.load(root)
    header = {"restored": None if note is None else note.archive, "done": note is not None and note.done}
    yield header, json.dumps(rows).encode("ascii")


def _restore(root: str, proc: Path, request: Request) -> Replies:
    """Op ``disk.restore {volume, environment, image, name, unless_done, if_begun, everything, overwrite}``, body: a
    JSON list of paths (none: all). Without *name* the newest. Progress ``{files, bytes}``, then ``{name, …}`` and
    a body of conflicts; ``{name: null}`` where there is nothing to put back."""
    header = request.header
    store = store_of(_text(request, "volume"), _text(request, "environment"))
    rack = Rack(root.rstrip("/") + store)
    archive = _begun(rack, store, root) if header.get("if_begun") is True else _chosen(rack, header.get("name"))
    only = json.loads(request.body)
    if not isinstance(only, list) or not all(isinstance(path, str) and path.startswith("/") for path in only):
        raise Refusal("bad-request", "not a list of paths")
    directory = "{0}/{1}".format(store, archive.name) if archive is not None else ""
    if archive is None or (header.get("unless_done") is True and not is_due(directory, root)):
        yield {"name": None}, b"{}"
        return
    wish = Wish(
        _text(request, "image"),
        only=[os.path.normpath(path) for path in only],
        everything=header.get("everything") is True,
        overwrite=header.get("overwrite") is True,
    )
    steps = put_back(archive, directory, wish, root=root, proc=proc)
    shown_at = time.monotonic()
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            done = end.value
            break
        if time.monotonic() - shown_at >= _PROGRESS_SECONDS:
            shown_at = time.monotonic()
            yield {"files": step.files, "bytes": step.size_bytes}, b""
    summary = {
        "name": archive.name,
        "directory": directory,
        "about": archive.about._asdict(),
        "files": done.files,
        "bytes": done.size_bytes,
        "present": done.present,
        "deleted": done.deleted,
        "left": done.left,
    }
    yield summary, json.dumps(done.conflicts).encode("ascii")


def _begun(rack: Rack, store: str, root: str) -> "Archive | None":
    """The archive whose putting back on this disk was cut off."""
    note = restored.load(root)
    if note is None or note.done or os.path.dirname(note.archive) != store:
        return None
    return rack.find(os.path.basename(note.archive))


def _chosen(rack: Rack, name: Any) -> "Archive | None":
    if name is None:
        return rack.newest()
    archive = (
        rack.find(name) if isinstance(name, str) and name and "/" not in name and not name.startswith(".") else None
    )
    if archive is None:
        raise Refusal("not-found", "there is no kept disk named {0!r}".format(name))
    return archive


def _text(request: Request, key: str) -> str:
    value = request.header.get(key)
    if not isinstance(value, str) or not value:
        raise Refusal("bad-request", "{0} is missing".format(key))
    return value


OPERATIONS = operations()
