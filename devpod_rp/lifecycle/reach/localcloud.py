"""The administration of the local cloud over its own HTTP, since the launcher meets it nowhere else."""

from __future__ import annotations

from typing import Any

from devpod_rp import control, environments, paths
from devpod_rp.errors import ConfigurationError, DevpodError, UsageError
from devpod_rp.lifecycle.account import clouds
from devpod_rp.lifecycle.reach import hosts
from devpod_rp.progress import Event, Progress

_SECONDS = 120.0


class NoSandbox(ConfigurationError):
    """This machine lacks what pods of the local cloud need; the hint says how to get it."""

    kind = "sandbox"


def status() -> dict[str, Any]:
    """What the local cloud says of itself; ``{"running": False}`` if it does not run. Never starts it."""
    endpoint = clouds.local_cloud_running()
    if endpoint is None:
        return {"running": False, "simulated": True, "pods": []}
    return {"running": True, "url": endpoint["url"], **_ask("GET", "/local/status", endpoint)}


def require_pods() -> None:
    """See that this machine can run pods, before one is asked for.

    Raises:
        NoSandbox: it cannot.
    """
    sandbox = status()["sandbox"]
    if not sandbox["available"]:
        raise NoSandbox(sandbox["missing"], hint=sandbox["hint"])


def start() -> dict[str, Any]:
    """Start the local cloud if it does not run; pods that ran when it ended come back on their disks."""
    clouds.choose("local")
    return status()


def stop() -> bool:
    """End the local cloud's process; False if it did not run. Disks and volumes stay, processes in pods end."""
    endpoint = clouds.local_cloud_running()
    if endpoint is None:
        return False
    _ask("POST", "/local/stop", endpoint)
    return True


def reset(progress: Progress) -> list[str]:
    """Terminate every local pod, delete every local volume and forget the environments that lived there.

    Returns the names of the environments forgotten. Keepers are stopped first, so that none of them sees its pod's
    folder vanish.
    """
    mine = [each for each in environments.all_environments() if each.cloud == "local"]
    for environment in mine:
        progress(Event("reset", f"Stopping the keeper of {environment.name}"))
        control.stop_keeper(environment.name)
    clouds.choose("local")
    endpoint = clouds.local_cloud_running()
    assert endpoint is not None
    progress(Event("reset", "Ending every local pod and deleting its storage"))
    _ask("POST", "/local/reset", endpoint)
    for environment in mine:
        with environments.locked(environment.name):
            environments.clear_intent(environment.name)
            environments.remove(environment.name)
            hosts.forget(environment.name)
    return [each.name for each in mine]


def faults(wanted: dict[str, Any] | None) -> dict[str, Any]:
    """The faults in force; *wanted* replaces them all, ``{}`` clears them."""
    endpoint = _running()
    return _ask("GET" if wanted is None else "PUT", "/local/faults", endpoint, wanted)


def preempt(name: str) -> dict[str, Any]:
    """Let the market outbid the spot pod of environment *name*, with real signals: SIGTERM, 5 s later SIGKILL.

    Raises:
        UsageError: it has no pod in the local cloud.
        Conflict: it is no spot pod, or does not run.
    """
    environment = environments.load(name)
    if environment.cloud != "local" or environment.pod_id is None:
        raise UsageError(f"{name} has no pod in the local cloud.", hint="only simulated spot pods can be outbid.")
    return _ask("POST", f"/local/pods/{environment.pod_id}/preempt", _running())


def _running() -> dict[str, Any]:
    endpoint = clouds.local_cloud_running()
    if endpoint is None:
        raise UsageError("The local cloud does not run.", hint="devpod-rp local start")
    return endpoint


def _ask(method: str, path: str, endpoint: dict[str, Any], body: dict[str, Any] | None = None) -> dict[str, Any]:
    import httpx

    from devpod_rp.runpod.http import refusal

    try:
        response = httpx.request(
            method,
            f"{endpoint['url']}{path}",
            headers={"Authorization": f"Bearer {endpoint['token']}"},
            json=body,
            timeout=_SECONDS,
            trust_env=False,
        )
    except httpx.TransportError as error:
        raise DevpodError(
            f"The local cloud did not answer: {error}.", hint=f"see {paths.local_cloud_dir() / 'server.log'}."
        ) from error
    if not response.is_success:
        raise refusal(response)
    answer: dict[str, Any] = response.json() if response.content else {}
    return answer
