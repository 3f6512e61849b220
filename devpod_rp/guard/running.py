"""What runs on the pod and ends with it: processes, and files that only a process still holds."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Process:
    """A process that a person or their tools started.

    *kind* is "notebook", "terminal", "editor" or "program"; *seconds* is how long it runs, *cpu_seconds* what it and
    its ended children computed; *about* names the notebook of a kernel, or an editor's unsaved changes. What cannot be
    seen is None.
    """

    pid: int
    command: str
    kind: str = "program"
    seconds: float = 0.0
    cpu_seconds: float | None = None
    gpu_memory_mb: int | None = None
    folder: str | None = None
    about: str | None = None

    def as_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class DeletedButOpen:
    """A file whose last name was deleted while process *pid* has it open; *written* if it can still write to it.

    *name* is what it goes by when it is saved, empty if it cannot be.
    """

    path: str
    size: int
    pid: int
    command: str
    descriptor: int
    written: bool
    name: str = ""

    @property
    def reason(self) -> str:
        return (
            f"deleted, but process {self.pid} still writes to it; "
            f"`cp /proc/{self.pid}/fd/{self.descriptor} FILE` on the pod saves it"
        )

    def as_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class DanglingLink:
    """A link on the volume that points to what a stop takes."""

    path: str
    target: str

    def as_json(self) -> dict[str, object]:
        return asdict(self)
