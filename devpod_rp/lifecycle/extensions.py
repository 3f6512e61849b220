"""The configuration's extensions and settings, on the pod for a desktop editor that is about to connect."""

from __future__ import annotations

import json

from devpod_rp.agent.servers.extending import SERVERS
from devpod_rp.environments import Environment
from devpod_rp.lifecycle import connect
from devpod_rp.ssh.errors import Unreachable

# How long a first connection may take, the download of the editor's server included.
_PATIENCE_SECONDS = 1800
_ANSWER_SECONDS = 60.0


def bring(environment: Environment, ide: str) -> list[str]:
    """Have the configuration's settings on the pod for *ide*, and its extensions once its server is there.

    Gives those that are not there yet.

    Raises:
        UnreachableError: the pod could not be told.
    """
    from devpod_rp.pod import bootstrap

    spec = environment.spec
    wanted = {"extensions": list(spec.get("extensions", ())), "settings": dict(spec.get("settings", {}))}
    if ide not in SERVERS or not any(wanted.values()):
        return []
    request = {"ide": ide, **wanted, "seconds": _PATIENCE_SECONDS}
    command, payload = bootstrap.program("servers.extending", f"{json.dumps(request)}\n".encode())
    with connect.open_connection(environment) as connection:
        done = connection.run(command, input=payload, timeout=_ANSWER_SECONDS)
    if done.exit_code != 0:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Unreachable(
            f"The pod was not told of extensions and settings: {words[-1] if words else 'no reason given'}."
        )
    # A shell's start files may have printed before.
    missing: list[str] = json.loads(done.stdout.decode("utf-8", "replace").strip().splitlines()[-1])["missing"]
    return missing
