"""Making the ledger true for one pod: a thread compares what was ordered with what runs, and closes the gap.

A worker never decides anything a client could have an opinion about. It reads the pod's record, does the next step and
reads again, so that an order given meanwhile, or a crash at any instruction, only changes what the next step is.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Mapping

from devpod_rp.errors import DevpodError
from devpod_rp.localcloud import containers, storage
from devpod_rp.localcloud.delays import Delays
from devpod_rp.localcloud.host import Host, Running
from devpod_rp.localcloud.ledger import Ledger
from devpod_rp.localcloud.pods import faults_of
from devpod_rp.localcloud.records import Pod, Status
from devpod_rp.localcloud.storage import Storage

log = logging.getLogger(__name__)

_WATCH_SECONDS = 0.5
# What RunPod leaves a spot pod between SIGTERM and SIGKILL.
_PREEMPTION_GRACE_SECONDS = 5.0
_STOP_GRACE_SECONDS = 10.0
_CLOSE_GRACE_SECONDS = 3.0
_FIRST_BACKOFF_SECONDS = 1.0
_LONGEST_BACKOFF_SECONDS = 15.0
_RETRY_SECONDS = 2.0
_LATE_SECONDS = 3.0


class Worker:
    """The thread that cares for one pod."""

    def __init__(
        self,
        pod_id: str,
        ledger: Ledger,
        host: Host,
        disks: Storage,
        delays: Delays,
        clock: Callable[[], float],
    ) -> None:
        self.pod_id = pod_id
        self._ledger = ledger
        self._host = host
        self._disks = disks
        self._delays = delays
        self._clock = clock
        self._woken = threading.Event()
        self._quitting = threading.Event()
        self._finished = threading.Event()
        self._state = threading.Lock()
        self._container: Running | None = None
        self._order = -1  # the generation that the present step carries out
        self._generation = -1  # the generation that the running container belongs to
        self._backoff = _FIRST_BACKOFF_SECONDS
        self._thread = threading.Thread(target=self._run, name=f"pod-{pod_id}")

    def begin(self) -> None:
        self._thread.start()

    def look_again(self) -> bool:
        """Tell the worker that the record changed; False if it has already finished."""
        with self._state:
            self._woken.set()
            return not self._finished.is_set()

    @property
    def pid(self) -> int | None:
        container = self._container
        return container.pid if container is not None and container.alive() else None

    @property
    def busy(self) -> bool:
        return not self._finished.is_set()

    def settled(self, timeout: float) -> bool:
        return self._finished.wait(timeout)

    def quit(self) -> None:
        self._quitting.set()
        self._woken.set()

    def join(self) -> None:
        self._thread.join()

    # -- the loop ---------------------------------------------------------------------------------------------------
    def _run(self) -> None:
        try:
            while not self._quitting.is_set():
                self._woken.clear()
                if self._step_or_fail():
                    continue
                with self._state:
                    # An order that came while the last step ran has set the event: look at it first.
                    if not self._woken.is_set():
                        self._finished.set()
                        return
            self._end_container(_CLOSE_GRACE_SECONDS)
        finally:
            self._finished.set()

    def _step_or_fail(self) -> bool:
        """One step; what goes wrong in it ends the pod in ERROR, or is tried again if the pod is being undone."""
        try:
            return self._step()
        except Exception as error:
            log.exception("step failed pod=%s", self.pod_id)
            self._fail(f"The local cloud could not go on with this pod: {error}")
            self._pause(_RETRY_SECONDS)
            return True

    def _step(self) -> bool:
        """Do the next thing for the pod; False if there is nothing left to do."""
        pod = self._pod()
        self._order = pod.generation
        if self._container is not None and (self._generation != pod.generation or not pod.status.active):
            self._note("stopping container")
            self._end_container(_PREEMPTION_GRACE_SECONDS if pod.preempted else _STOP_GRACE_SECONDS)
        if pod.wipe:
            self._wipe(pod)
        elif pod.status is Status.TERMINATED:
            self._purge(pod)
            return False
        elif pod.status is Status.PROVISIONING:
            self._provision(pod)
        elif pod.status is Status.STARTING:
            self._start(pod)
        elif pod.status is Status.RUNNING:
            self._keep_running(pod)
        else:
            return False
        return True

    def _wipe(self, pod: Pod) -> None:
        directory = self._disks.pod_directory(pod.id)
        if directory.exists():
            self._host.wipe(directory)
        self._change(pod, wipe=False)

    def _purge(self, pod: Pod) -> None:
        self._host.erase(self._disks.volume_disk(pod.id))
        self._host.erase(self._disks.pod_directory(pod.id))
        self._change(pod, purged=True)
        log.info("purged pod=%s", pod.id)

    def _provision(self, pod: Pod) -> None:
        delays = self._current_delays()
        if self._pause(delays.allocate):
            return
        if self._host_fault(pod) == "stuck":
            self._pause(_RETRY_SECONDS)
            return
        if self._host_fault(pod) == "no-gpu" and pod.gpu:
            self._change(pod, gpu={**pod.gpu, "count": 0})
        self._note(f"create container {pod.image}")
        if self._pause(delays.pull):
            return
        self._note(f"image {pod.image} is ready")
        self._change(pod, status=Status.STARTING)

    def _start(self, pod: Pod) -> None:
        if self._container is None:
            fresh = self._change(
                pod,
                external_ports=self._new_ports(pod),
                former_ports=pod.external_ports,
                hostname=containers.new_hostname(),
                started_at=None,
            )
            if fresh is None or (self._host_fault(pod) != "late-sshd" and not self._boot(fresh)):
                return
        if self._pause(self._current_delays().start):
            return
        self._backoff = _FIRST_BACKOFF_SECONDS
        self._change(pod, status=Status.RUNNING, started_at=self._clock())
        log.info("running pod=%s", pod.id)

    def _keep_running(self, pod: Pod) -> None:
        if self._container is None:
            # A late host, or a restart after an exit that was cut short by something that changed nothing.
            if self._host_fault(pod) != "late-sshd" or not self._pause(_LATE_SECONDS):
                self._boot(pod)
        elif not self._container.alive():
            self._restart_after_exit(pod)
        else:
            self._woken.wait(_WATCH_SECONDS)

    def _restart_after_exit(self, pod: Pod) -> None:
        """A container whose first process ended by itself is started again, on its disk, for as long as it takes."""
        self._note("container exited by itself; restarting it")
        self._end_container(0.0)
        if not self._pause(self._backoff):
            self._backoff = min(self._backoff * 2, _LONGEST_BACKOFF_SECONDS)
            self._boot(pod)

    def _boot(self, pod: Pod) -> bool:
        """Start the container of *pod*; False if that failed, which makes the pod's status ERROR."""
        storage.make(self._disks.pod_directory(pod.id))
        machine = containers.machine(pod, self._disks)
        if self._host_fault(pod) == "no-sshd":
            machine = dataclasses.replace(machine, start_command=containers.IDLE)
        for mount in machine.mounts:
            storage.make_volume(mount.source)
        self._note("start container")
        try:
            self._container = self._host.start(machine)
        except (DevpodError, OSError) as error:
            log.warning("start failed pod=%s error=%s", pod.id, error)
            hint = error.hint if isinstance(error, DevpodError) else None
            self._fail(f"{error} {hint}" if hint else str(error))
            return False
        self._generation = pod.generation
        return True

    def _end_container(self, grace_seconds: float) -> None:
        # Forgotten only once it is really gone: a stop that failed is tried again before the disk is touched.
        if self._container is not None:
            self._container.stop(grace_seconds)
            self._container = None

    def _fail(self, reason: str) -> None:
        """ERROR, unless an order given meanwhile has overtaken what failed."""
        self._note(f"error: {reason}")
        now = self._clock()
        with self._ledger.transaction() as books:
            books.settle(now)
            pod = books.pod(self.pod_id)
            if pod is not None and pod.status.active and pod.generation == self._order:
                books.save_pod(dataclasses.replace(pod, status=Status.ERROR, failure=reason, started_at=None))

    # -- the ledger -------------------------------------------------------------------------------------------------
    def _pod(self) -> Pod:
        with self._ledger.transaction() as books:
            pod = books.pod(self.pod_id)
        assert pod is not None, "pods are never removed from the ledger"
        return pod

    def _change(self, pod: Pod, **changes: object) -> Pod | None:
        """Write *changes* unless an order has overtaken *pod*; then None, and nothing is written."""
        now = self._clock()
        with self._ledger.transaction() as books:
            books.settle(now)
            present = books.pod(pod.id)
            if present is None or present.generation != pod.generation:
                return None
            changed = dataclasses.replace(present, **changes)  # type: ignore[arg-type]
            books.save_pod(changed)
        return changed

    def _note(self, line: str) -> None:
        with self._ledger.transaction() as books:
            books.note(self.pod_id, self._clock(), line)

    def _host_fault(self, pod: Pod) -> str | None:
        with self._ledger.transaction() as books:
            return faults_of(books).hosts.get(pod.data_center)

    def _current_delays(self) -> Delays:
        with self._ledger.transaction() as books:
            return self._delays.overridden(faults_of(books).delays)

    def _new_ports(self, pod: Pod) -> Mapping[str, int]:
        with self._ledger.transaction() as books:
            taken = {port for other in books.pods() if other.id != pod.id for port in other.external_ports.values()}
        return containers.assign_ports(pod, taken)

    def _pause(self, seconds: float) -> bool:
        """Wait; True if a new order cut it short."""
        return self._woken.wait(seconds)
