"""A pod that stops itself: RunPod gives every pod a key of its own, RUNPOD_API_KEY, and its id, RUNPOD_POD_ID.

Whether REST v2 takes that key is nowhere documented, so it is tried before anybody relies on it.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Dict, Mapping, NamedTuple, Optional

_SECONDS = 30.0


class Refused(Exception):
    """The cloud did not take the order; the text says why."""


class PodKey(NamedTuple):
    """Who the pod is to the cloud, and what proves it."""

    api_url: str
    pod_id: str
    secret: str

    def __repr__(self) -> str:
        return "PodKey({0!r}, {1!r})".format(self.api_url, self.pod_id)

    def check(self) -> None:
        """See that the cloud takes the key, by reading the own pod.

        Raises:
            Refused: it does not, or cannot be reached from here.
        """
        self._call("GET", "/v2/pods/" + self.pod_id)

    def stop(self) -> None:
        """Order the stop of the own pod; the container ends soon after.

        Raises:
            Refused: the pod runs on.
        """
        self._call("POST", "/v2/pods/{0}/action".format(self.pod_id), {"action": "stop"})

    def _call(self, method: str, path: str, body: Optional[Dict[str, str]] = None) -> None:
        request = urllib.request.Request(  # noqa: S310 - the address is the launcher's own
            self.api_url.rstrip("/") + path,
            data=None if body is None else json.dumps(body).encode("ascii"),
            method=method,
            # The service in front of the API refuses urllib's own name.
            headers={
                "Authorization": "Bearer " + self.secret,
                "Content-Type": "application/json",
                "User-Agent": "devpod-rp-watchdog",
            },
        )
        # A proxy of the image's environment is for the user's work; the API is reached directly, as by the launcher.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_SECONDS):
                return
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(_told(error)) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise Refused("{0} cannot be reached from the pod: {1}".format(self.api_url, reason)) from error


def own_key(api_url: str, proc: Path = Path("/proc")) -> PodKey:
    """The key that the container was started with; a session's environment may lack it, that of PID 1 does not.

    Raises:
        Refused: this container was given none.
    """
    for environment in (_environment_of(proc / "1" / "environ"), os.environ):
        pod_id, secret = environment.get("RUNPOD_POD_ID"), environment.get("RUNPOD_API_KEY")
        if pod_id and secret:
            return PodKey(api_url, pod_id, secret)
    raise Refused("the pod was given no RUNPOD_API_KEY")


def _environment_of(path: Path) -> Mapping[str, str]:
    try:
        raw = path.read_bytes()
    except OSError:
        return {}
    pairs = (os.fsdecode(each).partition("=") for each in raw.split(b"\0"))
    return {name: value for name, equals, value in pairs if equals}


def _told(error: urllib.error.HTTPError) -> str:
    """What the cloud says of itself, in RunPod's words where it has some (RFC 9457: title, detail)."""
    try:
        document = json.loads(error.read(10_000))
        said = str(document.get("detail") or document.get("title") or "")
    except (OSError, ValueError, AttributeError):
        said = ""
    return "the API answers {0}{1}".format(error.code, ": " + said if said else "")
