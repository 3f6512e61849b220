"""Where things are: on the host, in a pod's state directory and inside the pod."""

from __future__ import annotations

import hashlib
from pathlib import Path

from devpod_rp import paths

# Inside the pod.
TOOLS = "/opt/devpod_rp"
PYTHON = TOOLS + "/python"  # the running interpreter, where the system has none for it
POD = TOOLS + "/pod"  # in memory: what only this boot needs to know
INIT = TOOLS + "/init.py"
SSH_SERVER = TOOLS + "/ssh-server"
START = "/start.sh"

MARKER = "devpod_rp-pod"
SUPERVISOR_MODULE = "devpod_rp.localcloud.sandbox.supervisor"


def images_dir() -> Path:
    """What all pods of this local cloud share."""
    return paths.local_cloud_dir() / "images"


def container_disk(directory: Path) -> Path:
    """Everything that `wipe` takes away."""
    return directory / "disk"


def root(disk: Path) -> Path:
    """The pod's ``/``."""
    return disk / "root"


def layer(disk: Path, top: str) -> Path:
    """The container disk's share of the system directory *top*: ``upper`` and overlayfs's own ``work``."""
    return disk / "layers" / top


def container_log(directory: Path) -> Path:
    return directory / "container.log"


def supervisor_log(directory: Path) -> Path:
    return directory / "supervisor.log"


def marker(directory: Path) -> str:
    """What the command lines of a pod's supervisor and PID 1 hold: pod id, and which installation's pod it is."""
    return f"{MARKER}:{directory.name}:{installation(directory.parent)}"


def installation(pods: Path) -> str:
    return hashlib.sha256(str(pods.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
