"""From a fresh process to PID 1 of a pod: new namespaces, the steps, the new root, and then the pod's own init.

Runs between fork and exec in the child of the supervisor, which has put it into a new PID namespace (and, without
privileges, into a new user namespace) before.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from devpod_rp.localcloud.sandbox import kernel
from devpod_rp.localcloud.sandbox.steps import Step, StepFailedError, carry_out

# What Docker gives a container (moby, oci/caps/defaults.go) without mknod, which would reach the host's disks.
# linux/capability.h: chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot
# audit_write setfcap.
_ALLOWED = frozenset({0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 29, 31})
# In a user namespace this one reaches only what its owner reaches. It lets root look into directories like Docker's.
_DAC_READ_SEARCH = 2

LIFELINE = 3  # the descriptor on which the init sees that the server is gone


@dataclass(frozen=True)
class Boot:
    """What becomes of the child: *steps* below *root*, then *argv* as PID 1 with exactly *env*."""

    root: str
    hostname: str
    steps: tuple[Step, ...]
    argv: tuple[str, ...]
    env: Mapping[str, str]
    user_namespace: bool

    def as_json(self) -> dict[str, object]:
        return {
            "root": self.root,
            "hostname": self.hostname,
            "steps": [step.as_json() for step in self.steps],
            "argv": list(self.argv),
            "env": dict(self.env),
            "user_namespace": self.user_namespace,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Boot:
        steps = tuple(Step.from_json(step) for step in document["steps"])
        return cls(**{**document, "steps": steps, "argv": tuple(document["argv"])})


def become(boot: Boot, *, output: int, lifeline: int, failure: int) -> NoReturn:
    """Turn this process into PID 1 of *boot*; its output goes to *output*.

    On failure a JSON object (verb, target, errno, detail) is written to *failure*, which closes itself on success.
    """
    try:
        kernel.die_with_parent(signal.SIGKILL)
        _isolate(boot)
        _hand_over(boot, output, lifeline)
    except StepFailedError as error:
        _report(failure, error.step.verb, error.step.target, error.cause)
    except OSError as error:
        _report(failure, "start", str(error.filename or boot.argv[0]), error)
    finally:
        os._exit(127)


def _isolate(boot: Boot) -> None:
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC)
    # Nothing mounted from here on may show up in the host's namespace.
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    os.umask(0)
    # The root must be a mount of its own for pivot_root. Devices that somebody makes on a disk stay dead.
    kernel.mount(boot.root, boot.root, None, kernel.MS_BIND)
    kernel.restrict(boot.root, kernel.MS_NODEV)
    carry_out(boot.steps, boot.root, user_namespace=boot.user_namespace)
    kernel.pivot_root(boot.root)
    kernel.set_hostname(boot.hostname)
    os.umask(0o022)


def _hand_over(boot: Boot, output: int, lifeline: int) -> NoReturn:
    os.setsid()
    nothing = os.open("/dev/null", os.O_RDONLY)
    # Low numbers first would overwrite a descriptor that is still needed, so everything moves up before it moves down.
    high = [os.dup2(descriptor, 200 + index) for index, descriptor in enumerate((nothing, output, output, lifeline))]
    for index, descriptor in enumerate(high):
        os.dup2(descriptor, index, inheritable=True)
        os.close(descriptor)
    for number in (signal.SIGPIPE, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    # The kernel throws away what PID 1 has no handler for, but keeps what is blocked until the init has one.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    kernel.limit_capabilities(_ALLOWED | {_DAC_READ_SEARCH} if boot.user_namespace else _ALLOWED)
    os.execve(boot.argv[0], list(boot.argv), dict(boot.env))  # noqa: S606


def _report(failure: int, verb: str, target: str, error: OSError) -> None:
    document = {"verb": verb, "target": target, "errno": error.errno or 0, "detail": error.strerror or str(error)}
    os.write(failure, json.dumps(document).encode())
