"""The shape of what can be asked for. Validation only: where a value came from is ``sources.py``'s business."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from devpod_rp.spec import dollars, durations
from devpod_rp.spec.images import cuda_floor
from devpod_rp.spec.parts import (
    CodeServerSpec,
    DotfilesSpec,
    GuardSpec,
    HooksSpec,
    Part,
    PersistSpec,
    SpotSpec,
    SyncSpec,
    VolumeSpec,
)
from devpod_rp.spec.ports import port_wish
from devpod_rp.spec.wishes import smallest_memory_gb

NEVER = "never"
"""What a limit says to be none, where a lower layer sets one."""

Tier = Literal["secure", "community", "any"]

# RunPod's limits: docs.runpod.io, pods/configuration/expose-ports and environment-variables; REST v2 for the floor.
_MOST_HTTP_PORTS = 10
MOST_VARIABLES = 50
_SHORTEST_LID_SECONDS = 60.0

_PORT = re.compile(r"(\d{1,5})/(tcp|http)")
# A name of the marketplace, or the path of a VSIX file on the pod.
EXTENSION = re.compile(r"[\w-]+\.[\w.-]+(@[\w.+-]+)?|/\S*\.vsix")
HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(:\d+)?")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class EnvironmentSpec(Part):
    """Everything an environment needs, complete and checked.

    *gpu* lists GPU types in the order wished for, or ``any>=24GB``. *max_price* is USD per hour for the whole pod;
    *container_disk_gb* is wiped at every stop; with *keep_disk* what makes it differ from the image goes to the volume
    first and comes back at the next start. *ssh_timeout_s* is how long a running host may take to answer over SSH
    before it is given up. *idle_stop*, *max_runtime* and *lid_stop* are durations, *max_cost* is USD for one run; each
    stops the pod, None never does. *notify_after* is how long a command takes whose end is told on this machine's
    desktop. *forward_ports* are ports of the pod to have here, as ``6006`` or
    ``tensorboard=6006:16006``; *extensions* are those of VS Code to have on the pod, *settings* its settings there,
    which go before the user's own. *devcontainer* is the file that counts if the project's is not where the
    specification looks, or ``none``. ``env`` values may be secrets and
    are never shown by ``repr``; *session_env* are variables of sessions alone, whose ``${containerEnv:PATH}`` is what
    the pod itself has. *auto_start* lets an ``ssh`` at a terminal start the stopped environment.
    *forward_agent* offers the keys of the SSH agent here to the pod while somebody is connected; *git_identity* gives
    the pod's git the name and address of the one here, where it has none. *git_credentials* are hosts such as
    ``github.com`` for which git on the pod may ask the credential helpers of this machine while it is connected.
    """

    template: str = "pytorch"
    devcontainer: str | None = None
    image: Annotated[str, Field(min_length=1)]
    start_command: tuple[str, ...] | None = None
    gpu: tuple[str, ...] = ()
    gpu_count: Annotated[int, Field(ge=1, le=16)] = 1
    cpu: str | None = None
    vcpu: Annotated[int, Field(ge=2)] = 2
    tier: Tier = "secure"
    data_centers: tuple[str, ...] = ()
    max_price: Annotated[float, Field(gt=0)] | None = None
    min_cuda: Annotated[str, Field(pattern=r"^\d+\.\d+$")] | None = None
    min_vcpu_per_gpu: Annotated[int, Field(ge=1)] | None = None
    min_ram_per_gpu_gb: Annotated[int, Field(ge=1)] | None = None
    ssh_timeout_s: Annotated[int, Field(ge=1)] = 600
    container_disk_gb: Annotated[int, Field(ge=1)] = 50
    keep_disk: bool = False
    ports: tuple[str, ...] = ("22/tcp",)
    env: dict[str, str] = Field(default_factory=dict, repr=False)
    session_env: dict[str, str] = Field(default_factory=dict, repr=False)
    workspace: str | None = None
    workspace_alias: str | None = None
    forward_ports: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    settings: dict[str, Any] = Field(default_factory=dict)
    auto_start: bool = False
    forward_agent: bool = False
    git_identity: bool = False
    git_credentials: tuple[str, ...] = ()
    idle_stop: str | None = None
    max_runtime: str | None = None
    max_cost: Annotated[float, Field(gt=0)] | None = None
    lid_stop: str | None = None
    notify_after: str | None = "2m"
    volume: VolumeSpec = VolumeSpec()
    sync: SyncSpec = SyncSpec()
    spot: SpotSpec = SpotSpec()
    guard: GuardSpec = GuardSpec()
    persist: PersistSpec = PersistSpec()
    hooks: HooksSpec = HooksSpec()
    dotfiles: DotfilesSpec = DotfilesSpec()
    code_server: CodeServerSpec = CodeServerSpec()

    @field_validator("gpu")
    @classmethod
    def _wishes(cls, wishes: tuple[str, ...]) -> tuple[str, ...]:
        for wish in wishes:
            smallest_memory_gb(wish)
        return wishes

    @field_validator("vcpu")
    @classmethod
    def _power_of_two(cls, vcpu: int) -> int:
        if vcpu & (vcpu - 1):
            raise ValueError(f"must be a power of two (2, 4, 8, …), not {vcpu}")
        return vcpu

    @field_validator("ports")
    @classmethod
    def _ports(cls, ports: tuple[str, ...]) -> tuple[str, ...]:
        for port in ports:
            match = _PORT.fullmatch(port)
            if not match or not 1 <= int(match[1]) <= 65535:
                raise ValueError(f"{port!r} is no port; write it like 8888/http or 6006/tcp")
        if sum(port.endswith("/http") for port in ports) > _MOST_HTTP_PORTS:
            raise ValueError(f"has more than {_MOST_HTTP_PORTS} http ports, which is RunPod's limit")
        return tuple(dict.fromkeys((*ports, "22/tcp")))

    @field_validator("forward_ports", mode="before")
    @classmethod
    def _numbers(cls, ports: object) -> object:
        if not isinstance(ports, (list, tuple)):
            return ports
        return [str(port) if isinstance(port, int) and not isinstance(port, bool) else port for port in ports]

    @field_validator("forward_ports")
    @classmethod
    def _forwards(cls, ports: tuple[str, ...]) -> tuple[str, ...]:
        wishes = [port_wish(port) for port in ports]
        twice = next((wish.port for wish in wishes if sum(other.port == wish.port for other in wishes) > 1), None)
        if twice is not None:
            raise ValueError(f"names port {twice} twice")
        return tuple(str(wish) for wish in wishes)

    @field_validator("extensions")
    @classmethod
    def _extensions(cls, extensions: tuple[str, ...]) -> tuple[str, ...]:
        for extension in extensions:
            if not EXTENSION.fullmatch(extension):
                raise ValueError(f"{extension!r} is no extension; write it like ms-python.python")
        return extensions

    @field_validator("git_credentials")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not HOST.fullmatch(host):
                raise ValueError(f"{host!r} is no host; write it like github.com, with a port as git writes it")
        return hosts

    @field_validator("env")
    @classmethod
    def _env(cls, env: dict[str, str]) -> dict[str, str]:
        for name in env:
            if not VARIABLE.fullmatch(name):
                raise ValueError(f"{name!r} is no name for an environment variable")
        # Ours goes in as one more.
        if len({*env, "PUBLIC_KEY"}) > MOST_VARIABLES:
            raise ValueError(f"has {len(env)} variables; RunPod takes {MOST_VARIABLES} with PUBLIC_KEY, which we add")
        return env

    @field_validator("session_env")
    @classmethod
    def _session_env(cls, env: dict[str, str]) -> dict[str, str]:
        for name in env:
            if not VARIABLE.fullmatch(name):
                raise ValueError(f"{name!r} is no name for an environment variable")
        return env

    @field_validator("workspace", "workspace_alias")
    @classmethod
    def _workspace(cls, workspace: str | None) -> str | None:
        if workspace is None:
            return None
        if not workspace.startswith("/") or not workspace.rstrip("/") or ".." in workspace.split("/"):
            raise ValueError("must be an absolute path on the pod, such as /workspace/project")
        return workspace.rstrip("/")

    @field_validator("idle_stop", "max_runtime", "lid_stop", "notify_after")
    @classmethod
    def _duration(cls, text: str | None) -> str | None:
        if text is None or text.strip().lower() == NEVER:
            return None
        durations.seconds(text)
        return text

    @field_validator("lid_stop")
    @classmethod
    def _patient(cls, text: str | None) -> str | None:
        if text is not None and durations.seconds(text) < _SHORTEST_LID_SECONDS:
            raise ValueError("must be at least 1m: the laptop reports a few times a minute")
        return text

    @field_validator("max_cost", mode="before")
    @classmethod
    def _money(cls, amount: object) -> object:
        if isinstance(amount, str):
            return None if amount.strip().lower() == NEVER else dollars.amount(amount)
        return amount

    @property
    def cuda_floor(self) -> str | None:
        """The least CUDA version of the host: as asked for, else what the image's name says it was built for."""
        return self.min_cuda or cuda_floor(self.image)

    @model_validator(mode="after")
    def _fits_together(self) -> EnvironmentSpec:
        if self.gpu and self.cpu:
            raise _misfit("cpu", "gpu and cpu cannot both be asked for: a pod has one or the other")
        if not self.gpu and not self.cpu:
            raise _misfit("gpu", "neither gpu nor cpu is asked for: name GPU types, or a CPU flavor such as cpu3c")
        if self.keep_disk and self.volume.kind == "none":
            raise _misfit("keep_disk", "keep_disk needs a volume to keep the disk on: change volume.kind or keep_disk")
        if self.cpu and self.volume.kind == "disk":
            raise _misfit("volume.kind", "a CPU pod cannot have a volume disk: set volume.kind to network or none")
        if self.volume.kind == "network" and self.tier == "community":
            raise _misfit("tier", "network volumes exist in the secure cloud only: change tier or volume.kind")
        if self.workspace and self.volume.kind != "none" and not _below(self.workspace, self.volume.path):
            raise _misfit(
                "workspace", f"workspace must lie on the volume, below {self.volume.path}, or it is wiped at every stop"
            )
        return self


def _misfit(key: str, message: str) -> PydanticCustomError:
    """Values that are fine alone and not together; *key* is the one to blame, which says where to look."""
    return PydanticCustomError("misfit", "{message}", {"key": key, "message": message})


def _below(path: str, parent: str) -> bool:
    return path == parent or path.startswith(parent + "/")


def field_names() -> dict[str, tuple[str, ...]]:
    """Every key of the configuration, with the keys of those that are tables."""
    tables: dict[str, type[Part]] = {
        "volume": VolumeSpec,
        "sync": SyncSpec,
        "spot": SpotSpec,
        "guard": GuardSpec,
        "persist": PersistSpec,
        "hooks": HooksSpec,
        "dotfiles": DotfilesSpec,
        "code_server": CodeServerSpec,
    }
    return {name: tuple(tables[name].model_fields) if name in tables else () for name in EnvironmentSpec.model_fields}
