"""Editors in a browser: servers of ours on the pod's loopback, and how their user gets in."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from devpod_rp.agent.servers.serving import MARK
from devpod_rp.environments import Environment, Forward
from devpod_rp.errors import DevpodError, UnreachableError
from devpod_rp.pod import bootstrap
from devpod_rp.pod.channel import Connection

log = logging.getLogger(__name__)

Say = Callable[[str], None]

# The release of github.com/coder/code-server, with the digests that its release page states.
_CODE_SERVER = "4.139.1"
_CODE_SERVER_URL = (
    "https://github.com/coder/code-server/releases/download/v{version}/code-server-{version}-linux-{arch}.tar.gz"
)
_CODE_SERVER_SHA256 = {
    "amd64": "53029be6c5781b7bca49b815fcc9a2a3fc111813ad8c9965b2c0f0d2985a0674",
    "arm64": "0edb4b60d9c4744b2dd14b0911e3c2e6dd8c6f3c13bd58bda23ae744e59e7df1",
}
_JUPYTERLAB = "jupyterlab==4.6.6"


class ServiceFailed(DevpodError):
    """A server could not be brought up on the pod; the message says why."""

    kind = "service-failed"


@dataclass(frozen=True)
class Service:
    """*ide* is its name for ``open --ide``; *name* that of the program, and of its tunnel."""

    ide: str
    name: str
    title: str


CODE_SERVER = Service("browser", "code-server", "VS Code in the browser")
JUPYTER = Service("jupyter", "jupyter", "JupyterLab")
SERVICES = {each.ide: each for each in (CODE_SERVER, JUPYTER)}


def bring_up(environment: Environment, connection: Connection, forward: Forward, say: Say) -> int:
    """The port on the pod's loopback where the service of *forward* answers, started (and installed) if need be.

    It lets in who knows the secret of *forward*. *say* hears what it is about at the moment.

    Raises:
        ServiceFailed: it cannot be installed, or does not start.
        UnreachableError: the connection was lost, or the pod has no Python.
    """
    request = f"{json.dumps(_request(environment, forward))}\n".encode()
    command, payload = bootstrap.program("servers.serving", request)
    channel = connection.channel(command)
    try:
        channel.stdin.write(payload)
        channel.stdin.flush()
        # A shell's start files may print before; no line of ours is that long.
        while line := channel.stdout.readline(1 << 20):
            _, mark, text = line.decode("utf-8", "replace").partition(MARK)
            if not mark:
                continue
            said = json.loads(text)
            if "port" in said:
                return int(said["port"])
            if "error" in said:
                raise ServiceFailed(
                    f"{forward.service} could not be brought up on the pod: {said['error']}",
                    hint=f"devpod-rp open {environment.name} tries again.",
                )
            log.info("service=%s says=%s", forward.service, said["say"])
            say(str(said["say"]))
        words = channel.stderr.read(1 << 16).decode("utf-8", "replace").strip().splitlines()
    finally:
        channel.close()
    raise UnreachableError(f"{forward.service} was not brought up: {words[-1] if words else 'the connection ended'}.")


def address(forward: Forward, environment: Environment) -> str:
    """Where the user finds the service, without the secret."""
    base = f"http://127.0.0.1:{forward.local_port}"
    if forward.service == JUPYTER.name:
        return f"{base}/lab"
    return f"{base}/?folder={quote(environment.workspace, safe='/')}"


def sign_in_page(forward: Forward, environment: Environment) -> str:
    """A page that leads into the service with the secret.

    It is for a private file: given to the browser on its command line, the secret would be in the list of processes.
    """
    where = address(forward, environment)
    if forward.service == JUPYTER.name:
        return (
            "<!doctype html><meta charset=utf-8><title>devpod-rp</title>"
            f'<meta http-equiv=refresh content="0;url={where}?token={forward.secret}">'
        )
    base, _, query = where.partition("/?")
    return (
        "<!doctype html><meta charset=utf-8><title>devpod-rp</title>"
        f'<form method=post action="{base}/login?to=/&amp;{query}">'
        f'<input type=hidden name=password value="{forward.secret}"></form><script>document.forms[0].submit()</script>'
    )


def _request(environment: Environment, forward: Forward) -> dict[str, Any]:
    volume, spec = environment.volume, environment.spec
    return {
        "service": forward.service,
        "home": "/root" if volume.kind == "none" else volume.path,
        "workspace": environment.workspace,
        "secret": forward.secret,
        # Cookies know no ports: two environments would sign each other out.
        "cookie": re.sub(r"[^a-z0-9]", "-", environment.name.lower()),
        "extensions": list(spec.get("extensions", ())),
        "settings": dict(spec.get("settings", {})),
        "archive": _archive(spec.get("code_server", {})),
        "requirement": _JUPYTERLAB,
    }


def _archive(wish: Mapping[str, Any]) -> dict[str, Any]:
    digest = wish.get("sha256")
    return {
        "version": _CODE_SERVER,
        "url": wish.get("url") or _CODE_SERVER_URL,
        "sha256": dict.fromkeys(_CODE_SERVER_SHA256, digest) if digest else _CODE_SERVER_SHA256,
    }
