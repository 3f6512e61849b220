"""Why a sandbox could not start, in one sentence, and what the owner of the machine can do about it."""

from __future__ import annotations

import errno
import platform
from pathlib import Path

from devpod_rp.localcloud.sandbox.model import SandboxError

_FORBIDDEN = (errno.EPERM, errno.EACCES)
# First match wins: (file below /proc/sys, value that forbids, how to allow).
_SWITCHES = (
    ("user/max_user_namespaces", "0", "sudo sysctl -w user.max_user_namespaces=15000"),
    ("kernel/unprivileged_userns_clone", "0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)


def failure(verb: str, target: str, number: int, detail: str, *, privileged: bool, directory: Path) -> SandboxError:
    """The error for a step that failed with errno *number*; *directory* is where the pod's container disk lies."""
    if verb == "namespace":
        return _no_namespace(number, detail, privileged)
    if verb == "overlay":
        return _no_overlay(target, number, detail, privileged, directory)
    if verb == "mount" and target == "/proc" and number in _FORBIDDEN:
        return SandboxError(
            "A pod cannot have its own /proc here, because parts of this machine's /proc are hidden.",
            hint="Inside Docker: start the container with --privileged, or with --security-opt systempaths=unconfined.",
        )
    if verb == "start":
        return SandboxError(
            f"The first program of the pod could not be started: {target}: {detail}.",
            hint="The interpreter that runs devpod-rp and the libraries it needs must be readable.",
        )
    return SandboxError(f"The pod's {target} could not be set up ({verb}): {detail}.")


def _no_namespace(number: int, detail: str, privileged: bool) -> SandboxError:
    if number == errno.ENOSYS or not Path("/proc/self/ns/user").exists():
        return SandboxError(
            f"Pods of the local cloud need Linux namespaces, which the kernel {platform.release()} does not offer.",
            hint="Use a Linux machine, a virtual machine or WSL 2, or RunPod itself: devpod-rp up --cloud runpod",
        )
    if privileged:
        return SandboxError(f"The kernel refused a new PID namespace: {detail}.")
    for name, forbidding, remedy in _SWITCHES:
        switch = Path("/proc/sys", name)
        if switch.exists() and switch.read_text().strip() == forbidding:
            return SandboxError(
                "Unprivileged users may not make user namespaces here, and pods of the local cloud need them.",
                hint=f"{remedy}   (or run devpod-rp as root)",
            )
    return SandboxError(
        f"The kernel refused a user namespace, which pods of the local cloud need: {detail}.",
        hint="Inside Docker: start the container with --privileged. Elsewhere: run devpod-rp as root.",
    )


def _no_overlay(target: str, number: int, detail: str, privileged: bool, directory: Path) -> SandboxError:
    if number == errno.ENODEV:
        return SandboxError(
            "Pods of the local cloud need overlayfs, which this kernel lacks.", hint="sudo modprobe overlay"
        )
    if number in _FORBIDDEN and not privileged:
        return SandboxError(
            f"The kernel {platform.release()} refuses overlayfs to unprivileged users; Linux 5.11 or newer allows it.",
            hint="Run devpod-rp as root, or on a newer kernel.",
        )
    kind = file_system(directory)
    if number == errno.EINVAL:
        return SandboxError(
            f"The container disk of a pod cannot lie on {kind or 'the file system'} of {directory}: "
            f"overlayfs refused {target}.",
            hint="Set DEVPOD_RP_HOME to a directory on an ordinary disk (ext4, xfs, btrfs) or in /dev/shm.",
        )
    return SandboxError(f"overlayfs refused the pod's {target} ({kind}): {detail}.")


def file_system(path: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> str:
    """The kind of file system that *path* lies on, such as ``ext4`` or ``overlay``; "" if it cannot be told."""
    best, kind = "", ""
    for line in mountinfo.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        fields = line.split(" ")
        point = fields[4].replace("\\040", " ")
        if path.resolve().is_relative_to(point) and len(point) >= len(best):
            best, kind = point, fields[fields.index("-") + 1]
    return kind
