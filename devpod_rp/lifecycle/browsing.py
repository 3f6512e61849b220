"""``open --ide browser`` and ``jupyter``: a server on the pod, its tunnel here, and the way in."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devpod_rp import control, environments, paths
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.editors import services
from devpod_rp.editors.services import Service
from devpod_rp.environments import Environment
from devpod_rp.progress import Event, Progress

# An installation downloads some hundred megabytes.
_BRING_UP_SECONDS = 1800.0
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Door:
    """*url* asks for *secret*; *page* is a private file of this machine that leads in without asking."""

    url: str
    secret: str = field(repr=False)
    page: Path


def open_service(environment: Environment, service: Service, progress: Progress) -> Door:
    """Have *service* up on the pod and at its address here, which outlives restarts of pod and keeper.

    Raises:
        DevpodError: it could not be brought up, or there is no connection.
    """
    name = environment.name
    progress(Event("serve", f"Bringing up {service.title}"))
    control.start_keeper(name)
    done = threading.Event()
    watcher = threading.Thread(target=_tell, args=(name, service, progress, done), name="serve-progress", daemon=True)
    watcher.start()
    try:
        control.keeper_request(name, "serve", timeout=_BRING_UP_SECONDS, service=service.name)
    finally:
        done.set()
        watcher.join()
    forward = next(each for each in environments.read_forwards(name) if each.service == service.name)
    assert forward.secret is not None
    page = paths.environment_dir(name) / f"open-{service.name}.html"
    write_atomically(page, services.sign_in_page(forward, environment).encode("utf-8"))
    return Door(services.address(forward, environment), forward.secret, page)


def _tell(name: str, service: Service, progress: Progress, done: threading.Event) -> None:
    """Say what the keeper is about, as it says so."""
    while not done.wait(_LOOK_SECONDS):
        try:
            forwards: list[dict[str, Any]] = control.keeper_request(name, "status")["forwards"]
        except (control.KeeperNotRunning, control.KeeperSilent):
            return  # the request itself finds out why
        for each in forwards:
            if each["service"] == service.name and each["activity"]:
                progress(Event("serve", each["activity"]))
