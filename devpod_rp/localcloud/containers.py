"""What a container is started with: environment, published ports, mounts and command, as RunPod sets them."""

from __future__ import annotations

import random
import re
import secrets
import socket
from collections.abc import Collection, Mapping

from devpod_rp.localcloud import commands
from devpod_rp.localcloud.records import Pod
from devpod_rp.localcloud.sandbox import Machine, Mount
from devpod_rp.localcloud.storage import Storage

PUBLIC_ADDRESS = "127.0.0.1"
# Below the range that Linux gives to outgoing connections, so that none of those takes a port we just found free.
_PORT_RANGE = range(20_000, 32_000)
_SYMMETRICAL_ABOVE = 70_000

# What RunPod's base image sets (official-templates/base/Dockerfile).
_OFFICIAL_ENV = {
    "RP_WORKSPACE": "/workspace",
    "HF_HOME": "/workspace/.cache/huggingface/",
    "PIP_CACHE_DIR": "/workspace/.cache/pip/",
    "UV_CACHE_DIR": "/workspace/.cache/uv/",
    "VIRTUALENV_OVERRIDE_APP_DATA": "/workspace/.cache/virtualenv/",
    "PIP_BREAK_SYSTEM_PACKAGES": "1",
}
# Images that bring no start script: RunPod keeps them running but nothing listens on port 22.
_BARE_IMAGES = frozenset(
    {"ubuntu", "debian", "alpine", "fedora", "busybox", "rockylinux", "almalinux", "archlinux", "python", "nvidia/cuda"}
)
IDLE = ("sleep", "infinity")


def machine(pod: Pod, storage: Storage) -> Machine:
    """Everything the sandbox needs to be *pod*, which must have its external ports assigned."""
    ssh = pod.external_ports.get("22/tcp")
    return Machine(
        pod_id=pod.id,
        hostname=pod.hostname,
        directory=storage.pod_directory(pod.id),
        env=environment(pod),
        mounts=mounts(pod, storage),
        ssh_port=ssh,
        start_command=start_command(pod),
    )


def environment(pod: Pod) -> dict[str, str]:
    """The container's environment: the image's, RunPod's variables, what was injected at create, the pod's own."""
    image: dict[str, str] = dict(_OFFICIAL_ENV) if pod.image.startswith("runpod/") else {}
    if pod.cuda_version:
        image["CUDA_VERSION"] = pod.cuda_version
    torch = re.search(r"torch(\d)(\d+)(\d)\b", pod.image)
    if torch:
        image["PYTORCH_VERSION"] = ".".join(torch.groups())
    provider = {
        "RUNPOD_POD_ID": pod.id,
        "RUNPOD_DC_ID": pod.data_center,
        "RUNPOD_POD_HOSTNAME": f"{pod.id}-{pod.hostname[:8]}",
        "RUNPOD_GPU_COUNT": str(pod.gpu_count),
        "RUNPOD_CPU_COUNT": str(int((pod.gpu or pod.cpu or {}).get("vcpuCount", 0))),
        "RUNPOD_PUBLIC_IP": PUBLIC_ADDRESS,
        "RUNPOD_API_KEY": pod.api_key,
    }
    for port, external in pod.external_ports.items():
        provider[f"RUNPOD_TCP_PORT_{port.partition('/')[0]}"] = str(external)
    if pod.network:
        provider["RUNPOD_VOLUME_ID"] = str(pod.network["volumeId"])
    return {**image, **provider, **pod.injected_env, **pod.env}


def mounts(pod: Pod, storage: Storage) -> tuple[Mount, ...]:
    if pod.persistent:
        return (Mount(storage.volume_disk(pod.id), str(pod.persistent["path"])),)
    if pod.network:
        return (Mount(storage.network_volume(str(pod.network["volumeId"])), str(pod.network["path"])),)
    return ()


def start_command(pod: Pod) -> tuple[str, ...] | None:
    """The command to run as the container's first process; None stands for the image's ``/start.sh``."""
    argv = commands.decode(pod.args).argv
    if argv:
        return argv
    repository = pod.image.partition(":")[0].removeprefix("docker.io/").removeprefix("library/")
    return IDLE if repository in _BARE_IMAGES else None


def assign_ports(pod: Pod, taken: Collection[int]) -> Mapping[str, int]:
    """External ports for the next start of *pod*: port 22 gets one that it did not have before.

    A sandbox shares this machine's network, so any other TCP port is reachable under its own number; a port above
    70000 asks for a *symmetrical* one, the same inside and outside, and gets a free number.
    """
    avoid = set(taken) | set(pod.external_ports.values())
    assigned: dict[str, int] = {}
    for port in pod.ports:
        number, _, protocol = port.partition("/")
        if protocol != "tcp":
            continue
        if number == "22" or int(number) > _SYMMETRICAL_ABOVE:
            assigned[port] = _free_port(avoid)
            avoid.add(assigned[port])
        else:
            assigned[port] = int(number)
    return assigned


def new_hostname() -> str:
    """A container id as Docker makes them; the host name changes with every new container."""
    return secrets.token_hex(6)


def _free_port(avoid: Collection[int]) -> int:
    candidates = [port for port in _PORT_RANGE if port not in avoid]
    random.shuffle(candidates)
    for port in candidates:
        with socket.socket() as probe:
            try:
                probe.bind((PUBLIC_ADDRESS, port))
            except OSError:
                continue
            return port
    raise OSError(f"no free TCP port between {_PORT_RANGE.start} and {_PORT_RANGE.stop} on {PUBLIC_ADDRESS}")
