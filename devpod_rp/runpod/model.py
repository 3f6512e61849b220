"""The wire models of REST v2 (https://api.runpod.io/v2/openapi.json).

Requests are strict, because RunPod refuses unknown fields with 422; responses are liberal, because RunPod adds fields
without notice. Python names are snake_case, the wire's are camelCase.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, hide_input_in_errors=True)


class _Request(_Wire):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def body(self) -> dict[str, Any]:
        """The JSON body; what was not set is left out, since null is not the same as absent."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class _Response(_Wire):
    model_config = ConfigDict(extra="allow", frozen=True)


class PodStatus(str, Enum):
    """The states of a pod; UNKNOWN is ours, for a state that RunPod invents later."""

    PROVISIONING = "PROVISIONING"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    EXITED = "EXITED"
    ERROR = "ERROR"
    TERMINATED = "TERMINATED"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def _missing_(cls, value: object) -> PodStatus:
        return cls.UNKNOWN


class PodAction(str, Enum):
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    TERMINATE = "terminate"


class Cloud(str, Enum):
    SECURE = "SECURE"
    COMMUNITY = "COMMUNITY"


class AvailabilityLevel(str, Enum):
    NONE = "NONE"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"

    @classmethod
    def _missing_(cls, value: object) -> AvailabilityLevel:
        return cls.NONE


class PersistentMount(_Request):
    """A volume disk of the host; *size* in GB."""

    size: Annotated[int, Field(ge=10)]
    path: str


class NetworkMount(_Request):
    volume_id: str
    path: str


class Mounts(_Request):
    """At most one of the two kinds (POST /v2/pods answers 400 to both)."""

    persistent: PersistentMount | None = None
    network: Annotated[list[NetworkMount], Field(max_length=1)] | None = None


class CreateGpuConfig(_Request):
    """*count* is always sent: without it the scheduler matches no machine at all, whatever the specification says."""

    id: str
    count: Annotated[int, Field(ge=1)]
    min_cuda_version: Annotated[str, Field(pattern=r"^\d+\.\d+$")] | None = None
    allowed_cuda_versions: list[str] | None = None
    min_ram_per_gpu: Annotated[int, Field(ge=1)] | None = None
    min_vcpu_count_per_gpu: Annotated[int, Field(ge=1)] | None = None


class CreateCpuConfig(_Request):
    id: Annotated[str, Field(min_length=1)]
    vcpu_count: Annotated[int, Field(ge=2)]


class CreatePodRequest(_Request):
    """POST /v2/pods. REST v2 has no default for ports, mounts or SSH, so say all of it."""

    name: Annotated[str, Field(min_length=1)]
    image: str | None = None
    disk: Annotated[int, Field(ge=1)] | None = None
    gpu: CreateGpuConfig | None = None
    cpu: CreateCpuConfig | None = None
    cloud: Cloud = Cloud.SECURE
    data_center_ids: list[str] | None = None
    mounts: Mounts | None = None
    ports: list[str] | None = None
    env: dict[str, str] | None = Field(default=None, repr=False)
    start_ssh: bool | None = None
    start_jupyter: bool | None = None
    cmd: list[str] | None = None


class UpdatePodRequest(_Request):
    """PATCH /v2/pods/{id}. Changing image, env, ports or disk resets the pod: its container disk is wiped."""

    name: Annotated[str, Field(min_length=1)] | None = None
    image: str | None = None
    disk: Annotated[int, Field(ge=1)] | None = None
    ports: list[str] | None = None
    env: dict[str, str] | None = Field(default=None, repr=False)
    locked: bool | None = None


class PodSshEndpoint(_Response):
    host: str
    port: int
    username: str = "root"


class PodSsh(_Response):
    """*direct* is the published 22/tcp; it can appear minutes after RUNNING and changes at every start."""

    direct: PodSshEndpoint | None = None
    proxy: PodSshEndpoint | None = None


class PodGpu(_Response):
    id: str
    count: int = 1


class PodCpu(_Response):
    id: str
    vcpu_count: int


class PodVolumeDisk(_Response):
    size: int
    path: str


class PodNetworkVolume(_Response):
    volume_id: str
    path: str


class PodMounts(_Response):
    persistent: PodVolumeDisk | None = None
    network: list[PodNetworkVolume] | None = None


class Pod(_Response):
    """*cost* is USD per hour, 0 while EXITED or TERMINATED (its storage is still billed)."""

    id: str
    name: str
    status: PodStatus
    actions: list[str] = []
    image: str | None = None
    disk: int | None = None
    mounts: PodMounts | None = None
    gpu: PodGpu | None = None
    cpu: PodCpu | None = None
    cloud: str | None = None
    data_center_id: str | None = None
    cuda_version: str | None = None
    env: dict[str, str] = Field(default_factory=dict, repr=False)
    ssh: PodSsh = PodSsh()
    cost: float = 0.0
    locked: bool = False
    created_at: str | None = None
    started_at: str | None = None


class Pagination(_Response):
    next_cursor: str | None = None
    has_next_page: bool = False


class ErrorResponse(_Response):
    """RFC 9457 problem+json; *errors* lists what a 422 is about."""

    title: str
    status: int
    detail: str
    errors: list[str] = []


class SshKeys(_Response):
    keys: list[str]


class CreateNetworkVolumeRequest(_Request):
    name: Annotated[str, Field(min_length=1)]
    size: Annotated[int, Field(ge=10, le=4096)]
    data_center: Annotated[str, Field(min_length=1)]


class UpdateNetworkVolumeRequest(_Request):
    """A network volume can be renamed and grown, never shrunk."""

    name: Annotated[str, Field(min_length=1)] | None = None
    size: Annotated[int, Field(ge=10, le=4096)] | None = None


class NetworkVolume(_Response):
    """*size* in GB."""

    id: str
    name: str
    size: int
    data_center: str
    type: str = "STANDARD"


class CenterAvailability(_Response):
    id: str
    name: str
    availability: AvailabilityLevel = AvailabilityLevel.NONE


class GpuPrice(_Response):
    """USD per hour for one GPU."""

    secure: float = 0.0
    community: float = 0.0


class GpuMaxCount(_Response):
    secure: int = 0
    community: int = 0


class GpuType(_Response):
    """*memory* is GB of VRAM of one GPU."""

    id: str
    name: str
    memory: int = 0
    secure: bool = False
    community: bool = False
    price: GpuPrice
    max_count: GpuMaxCount
    availability: AvailabilityLevel = AvailabilityLevel.NONE
    data_centers: list[CenterAvailability] = []


class CpuRange(_Response):
    min: int
    max: int


class CpuPrice(_Response):
    secure_per_vcpu: float = 0.0


class CpuType(_Response):
    id: str
    name: str
    vcpu: CpuRange
    ram_gb_per_vcpu: float = 0.0
    price: CpuPrice
    availability: AvailabilityLevel = AvailabilityLevel.NONE
    data_centers: list[CenterAvailability] = []


class DataCenter(_Response):
    id: str
    name: str
    network_volume_types: list[str] = []


class Template(_Response):
    id: str
    name: str
    image: str | None = None


class PodBillingRecord(_Response):
    """Amounts in USD for the time from *start_time* to *end_time*; billing lags about an hour on RunPod."""

    pod_id: str
    start_time: str
    end_time: str
    total_amount: float = 0.0
    gpu_amount: float = 0.0
    cpu_amount: float = 0.0
    disk_amount: float = 0.0


class NetworkVolumeBillingRecord(_Response):
    """As `PodBillingRecord`, for a network volume."""

    network_volume_id: str
    start_time: str
    end_time: str
    total_amount: float = 0.0


@dataclass(frozen=True)
class LogLine:
    """One line of a pod's log; *ts* as RunPod writes it, *source* is "container" or "system"."""

    ts: str
    source: str
    line: str
