"""One running pod, held by the process that started it."""

from __future__ import annotations

from devpod_rp.localcloud.sandbox.model import Machine


class Sandbox:
    """A pod that runs as long as this process does: its supervisor ends it when this process is gone."""

    pid: int
    started_at: float

    @classmethod
    def start(cls, machine: Machine) -> Sandbox:
        """Boot *machine* on its container disk, which is made if absent; returns once PID 1 runs.

        Raises:
            SandboxError: it cannot run here; the message is one sentence.
        """
        raise NotImplementedError

    def alive(self) -> bool:
        """Whether PID 1 still runs."""
        raise NotImplementedError

    def stop(self, grace_seconds: float = 10.0) -> None:
        """SIGTERM to everything in the pod, SIGKILL after the grace; on return all processes and mounts are gone."""
        raise NotImplementedError

    def preempt(self, grace_seconds: float = 5.0) -> None:
        """What a spot pod gets when it is outbid: SIGTERM, five seconds, SIGKILL."""
        self.stop(grace_seconds)
