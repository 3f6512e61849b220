"""Which cloud a command talks to, and the client for it.

RunPod and the local cloud differ by URL and key only; the one extra step is that the local cloud is a process of this
machine, which is started on demand and found through its endpoint file.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from devpod_rp import control, paths
from devpod_rp.environments import Environment
from devpod_rp.errors import AuthenticationError, ConfigurationError, UnreachableError, UsageError
from devpod_rp.lifecycle.account import api_key

if TYPE_CHECKING:
    from devpod_rp.runpod.client import RunPod

RUNPOD_URL = "https://api.runpod.io"
_START_SECONDS = 20.0


@dataclass(frozen=True)
class Cloud:
    """A cloud and how to speak to it; *why* is the one line that announces the choice."""

    name: str
    url: str
    key: str = field(repr=False)
    why: str

    @property
    def simulated(self) -> bool:
        return self.name == "local"

    @property
    def announcement(self) -> str:
        """The one line that says which cloud this is, why, and whether its market is real."""
        market = "; its GPUs, stock and prices are simulated" if self.simulated else ""
        return f"{self.name} ({self.why}{market})"


def default_name(environ: Mapping[str, str] = os.environ) -> str:
    """The cloud that a command without ``--cloud`` uses."""
    return environ.get("DEVPOD_RP_CLOUD") or ("runpod" if api_key.find(environ) else "local")


def refuse_other_cloud(environment: Environment, choice: str | None) -> None:
    """An environment stays in its cloud.

    Raises:
        UsageError: *choice* names the other one.
    """
    if choice not in (None, environment.cloud):
        raise UsageError(
            f"The environment {environment.name} is in the {environment.cloud} cloud, not {choice}.",
            hint=f"devpod-rp up ANOTHER-NAME --cloud {choice} makes a second one.",
        )


def choose(choice: str | None, environ: Mapping[str, str] = os.environ, *, configured: str | None = None) -> Cloud:
    """The cloud named by *choice*, else ``DEVPOD_RP_CLOUD``, else what the configuration says, else RunPod if there
    is an API key, else the local one.

    Starts the local cloud if that is the answer and it is not running.

    Raises:
        ConfigurationError: ``DEVPOD_RP_CLOUD`` names no cloud.
        AuthenticationError: RunPod was asked for and there is no API key.
        UnreachableError: the local cloud does not come up.
    """
    name, why = choice, "asked for with --cloud"
    if name is None and environ.get("DEVPOD_RP_CLOUD"):
        name, why = environ["DEVPOD_RP_CLOUD"], "DEVPOD_RP_CLOUD"
    if name is None and configured is not None:
        name, why = configured, "the configuration says so"
    if name is None:
        found = api_key.find(environ)
        name, why = ("runpod", found.source) if found else ("local", "no RunPod API key found")
    if name not in ("runpod", "local"):
        raise ConfigurationError(
            f"DEVPOD_RP_CLOUD={name!r} names no cloud.", hint="use DEVPOD_RP_CLOUD=runpod or DEVPOD_RP_CLOUD=local."
        )
    if name == "local":
        endpoint = _local_endpoint()
        return Cloud("local", endpoint["url"], endpoint["token"], why)
    return Cloud("runpod", url_of_runpod(environ), _api_key(environ), why)


def url_of_runpod(environ: Mapping[str, str] = os.environ) -> str:
    return environ.get("RUNPOD_API_URL") or RUNPOD_URL


def of_environment(environment: Environment) -> Cloud:
    """The cloud that *environment* lives in, whatever the default is today."""
    if environment.cloud == "local":
        return replace(choose("local"), why="the environment's cloud")
    url = os.environ.get("RUNPOD_API_URL") or environment.api_url
    return Cloud("runpod", url, _api_key(os.environ), "the environment's cloud")


def client(cloud: Cloud) -> RunPod:
    """A client of *cloud*; the caller closes it (it is a context manager)."""
    from devpod_rp.runpod.client import RunPod

    return RunPod(cloud.url, cloud.key)


def client_of(environment: Environment) -> RunPod:
    """A client of the cloud that *environment* lives in."""
    return client(of_environment(environment))


def _api_key(environ: Mapping[str, str]) -> str:
    found = api_key.find(environ)
    if found is None:
        raise AuthenticationError(
            "There is no RunPod API key.",
            hint="devpod-rp login, or export RUNPOD_API_KEY=… (console.runpod.io, Settings, API keys), or use "
            "--cloud local.",
        )
    return found.key


def local_cloud_running() -> dict[str, Any] | None:
    """The local cloud's endpoint if it answers, else None. Never starts it."""
    path = paths.local_cloud_endpoint()
    hint = "delete it; it is written anew."
    try:
        endpoint: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}.", hint=hint) from error
    if not isinstance(endpoint, dict) or not all(isinstance(endpoint.get(key), str) for key in ("url", "token")):
        raise ConfigurationError(f"{path} does not say where the local cloud is.", hint=hint)
    return endpoint if _answers(endpoint) else None


def _local_endpoint() -> dict[str, Any]:
    endpoint = local_cloud_running()
    if endpoint:
        return endpoint
    log = paths.local_cloud_dir() / "server.log"
    control.spawn_detached([sys.executable, "-m", "devpod_rp.localcloud"], log)
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        endpoint = local_cloud_running()
        if endpoint:
            return endpoint
        time.sleep(0.05)
    raise UnreachableError(f"The local cloud did not start within {_START_SECONDS:.0f} s.", hint=f"see {log}.")


def _answers(endpoint: Mapping[str, Any]) -> bool:
    import httpx

    try:
        response = httpx.get(
            f"{endpoint['url']}/local/status",
            headers={"Authorization": f"Bearer {endpoint['token']}"},
            timeout=5,
            trust_env=False,
        )
    except httpx.TransportError:
        return False
    return response.status_code == 200
