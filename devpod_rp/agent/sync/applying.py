"""The operations that change the synchronised folder on the pod."""

from __future__ import annotations

import os
import threading
from typing import Dict, Iterator, Tuple

from devpod_rp.agent.files import durable
from devpod_rp.agent.files.places import OPEN_FOLDER
from devpod_rp.agent.sync import trash
from devpod_rp.agent.sync.batch import count, inflated, told, unpacked
from devpod_rp.agent.sync.commit import Batch
from devpod_rp.agent.sync.parts import PARTS
from devpod_rp.agent.sync.roots import Area, Root
from devpod_rp.agent.wire import Handler, Header, Refusal, Request, Standing

Replies = Iterator[Tuple[Header, bytes]]


def apply(request: Request) -> Replies:
    """Op ``files.apply {root, state, ino, packed, more_follows, plan}``: carry out a batch.

    The body is ``u32 length of the JSON item list, item list, contents of the inline files in order``, as a whole
    zlib-compressed when *packed* gives its unpacked size. Items: ``{do: file|dir|symlink|mode|remove, path, old, …}``
    where *old* is the version that may be replaced (null: nothing may be there). A file is inline, or *staged* before
    (``files.stage``), or a *copy* of another path in the folder: "no-copy" says that this path holds something else.
    One item ``{do: dirs, path: […]}`` stands for many folders where nothing may be, the last one may be
    ``{do: files, path: […], …}``, with a list for each field, for as many inline files.

    The answer's body tells one result per item (see batch.told). With *more_follows* the caller will ask for
    ``files.settle`` before it believes them; without, everything is durable when the answer comes. What batches of one
    *plan* replace or delete comes back together (see trash.moment).
    """
    items, new, content = unpacked(request)
    area, plan = Area(request.header), request.header.get("plan")
    if plan is not None and not isinstance(plan, str):
        raise Refusal("bad-request", "a plan has a name")
    with Root(area, request.header.get("ino")) as root:
        results = Batch(area, root, items, content, not request.header.get("more_follows"), plan, new).run()
    yield {}, told(results)


def settle(request: Request, _closing: threading.Event) -> Replies:
    """Op ``files.settle {root, state}``, beside the others: return when everything that was answered until now would
    survive a power cut, and the trash holds no more than it may."""
    area = Area(request.header)
    descriptor = os.open(area.root, OPEN_FOLDER)
    try:
        durable.flush_everything(descriptor)
    finally:
        os.close(descriptor)
    trash.tidy(area.trash)
    yield from ()


def stage(request: Request) -> Replies:
    """Op ``files.stage {root, state, staged, offset, packed}``: one part of a large file, outside the tree."""
    area, identifier = Area(request.header), request.header.get("staged")
    offset = count(request.header, "offset")
    data = inflated(request)
    try:
        part = PARTS.open(area, identifier)
        part.write(offset, data)
        part.write_back(len(data))
    except OSError:
        PARTS.discard(area, identifier)  # a full disk must not stay full because of us
        raise
    yield {}, b""


def discard(request: Request) -> Replies:
    """Op ``files.discard {root, state, staged}``: give up a large file whose upload ended early."""
    PARTS.discard(Area(request.header), request.header.get("staged"))
    yield {}, b""


OPERATIONS: Dict[str, Handler] = {
    "files.apply": apply,
    "files.stage": stage,
    "files.discard": discard,
}
STANDING: Dict[str, Standing] = {"files.settle": settle}
