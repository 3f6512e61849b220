"""One running pod, held by the process that started it."""

from __future__ import annotations

import logging
import threading

from devpod_rp.localcloud.sandbox import blueprint, disk, servers, users
from devpod_rp.localcloud.sandbox.launch import Launched, launch
from devpod_rp.localcloud.sandbox.model import Machine, SandboxError

_log = logging.getLogger(__name__)


class Sandbox:
    """A pod that runs as long as this process does: its supervisor ends it when this process is gone.

    Methods may be called from any thread.
    """

    def __init__(self, machine: Machine, launched: Launched) -> None:
        self._machine = machine
        self._supervisor = launched.supervisor
        self._lock = threading.Lock()
        self.pid = launched.pid
        self.started_at = launched.started_at

    @classmethod
    def start(cls, machine: Machine) -> Sandbox:
        """Boot *machine* on its container disk, which is made if absent; returns once PID 1 runs.

        Raises:
            SandboxError: it cannot run here; the message is one sentence.
        """
        container_disk, its_image = disk.ensure(machine)
        server = machine.ssh_server or servers.best_for(its_image)
        for mount in machine.mounts:
            try:
                mount.source.mkdir(mode=0o755, parents=True, exist_ok=True)
            except OSError as error:
                raise SandboxError(f"The volume {mount.source} cannot be used: {error.strerror}.") from error
        privileged = users.is_privileged()
        boot = blueprint.draw(
            machine,
            container_disk,
            its_image,
            server,
            user_namespace=not privileged,
            all_ids=privileged or users.subordinate_ids() is not None,
        )
        launched = launch(boot, machine.directory)
        _log.info("pod=%s pid=%d ssh=%s port=%s started", machine.pod_id, launched.pid, server, machine.ssh_port)
        return cls(machine, launched)

    def alive(self) -> bool:
        """Whether PID 1 still runs."""
        return self._supervisor.poll() is None

    def stop(self, grace_seconds: float = 10.0) -> None:
        """SIGTERM to everything in the pod, SIGKILL after the grace; on return all processes and mounts are gone."""
        with self._lock:
            lifeline = self._supervisor.stdin
            if lifeline is not None and not lifeline.closed:
                try:
                    lifeline.write(f"stop {grace_seconds}\n".encode("ascii"))
                except BrokenPipeError:
                    _log.debug("pod=%s had ended by itself", self._machine.pod_id)
            self._supervisor.wait()
            if lifeline is not None:
                lifeline.close()
        _log.info("pod=%s code=%s stopped", self._machine.pod_id, self._supervisor.returncode)

    def preempt(self, grace_seconds: float = 5.0) -> None:
        """What a spot pod gets when it is outbid: SIGTERM, five seconds, SIGKILL."""
        self.stop(grace_seconds)
