"""The configuration's extensions and settings, on the pod for a desktop editor that is about to connect."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from devpod_rp.agent.servers.extending import SERVERS
from devpod_rp.environments import Environment
from devpod_rp.lifecycle.reach import connect
from devpod_rp.ssh.errors import Unreachable

# How long a first connection may take, the download of the editor's server included.
_PATIENCE_SECONDS = 1800
_ALL_DAY_SECONDS = 24 * 3600.0
_ANSWER_SECONDS = 60.0


def bring(environment: Environment, ide: str) -> list[str]:
    """Have the configuration's settings on the pod for *ide*, and its extensions once its server is there.

    Gives those that are not there yet.

    Raises:
        UnreachableError: the pod could not be told.
    """
    return _told(environment, environment.spec, [ide] if ide in SERVERS else [], _PATIENCE_SECONDS).get(ide, [])


def expect_editors(environment: Environment, spec: Mapping[str, Any]) -> None:
    """The same for whichever editor connects to this container, with us or on its own. Raises as :func:`bring`."""
    _told(environment, spec, list(SERVERS), _ALL_DAY_SECONDS)


def _told(environment: Environment, spec: Mapping[str, Any], ides: list[str], seconds: float) -> dict[str, list[str]]:
    """What each of *ides* lacks on the pod, which now sees to it."""
    from devpod_rp.pod import bootstrap

    wanted = {"extensions": list(spec.get("extensions", ())), "settings": dict(spec.get("settings", {}))}
    if not ides or not any(wanted.values()):
        return {}
    request = {"ides": ides, **wanted, "seconds": seconds}
    command, payload = bootstrap.program("servers.extending", f"{json.dumps(request)}\n".encode())
    with connect.open_connection(environment) as connection:
        done = connection.run(command, input=payload, timeout=_ANSWER_SECONDS)
    if done.exit_code != 0:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Unreachable(
            f"The pod was not told of extensions and settings: {words[-1] if words else 'no reason given'}."
        )
    # A shell's start files may have printed before.
    missing: dict[str, list[str]] = json.loads(done.stdout.decode("utf-8", "replace").strip().splitlines()[-1])[
        "missing"
    ]
    return missing
