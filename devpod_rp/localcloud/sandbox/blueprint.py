"""From what a pod shall be to the steps that make it. Pure: nothing here looks at the machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from devpod_rp.localcloud.sandbox import layout
from devpod_rp.localcloud.sandbox.boot import Boot
from devpod_rp.localcloud.sandbox.image import Image
from devpod_rp.localcloud.sandbox.kernel import MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REC
from devpod_rp.localcloud.sandbox.model import Machine, Mount, SandboxError, SshServer
from devpod_rp.localcloud.sandbox.steps import Step

SSH_HOST = "127.0.0.1"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DEVICES = ("full", "null", "random", "tty", "urandom", "zero")
_TTY_GROUP = 5  # "tty" on every distribution that pods are made of
# What Docker keeps from a container's root (moby, oci/defaults.go), who would else be the host's root there.
_PROC_READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")
_PROC_MASKED = ("kcore", "keys", "latency_stats", "sched_debug", "timer_list")
_RESERVED = frozenset({"/", "/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr", "/var"})
# What Remote-SSH, Cursor, JetBrains and Zed need of a server, and nothing more.
_SSHD_CONFIG = """\
ListenAddress {host}
Port {port}
PidFile /run/sshd.pid
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
AllowTcpForwarding yes
AllowStreamLocalForwarding yes
StreamLocalBindUnlink yes
AllowAgentForwarding yes
PermitTunnel no
X11Forwarding no
PrintMotd no
AcceptEnv LANG LC_*
ClientAliveInterval 30
ClientAliveCountMax 6
MaxSessions 64
MaxStartups 100
Subsystem sftp internal-sftp
"""


def draw(machine: Machine, disk: Path, image: Image, server: SshServer, *, user_namespace: bool, all_ids: bool) -> Boot:
    """The boot of *machine* on *disk*. *all_ids*: ids other than root's exist in the pod.

    Raises:
        SandboxError: a mount path of the machine cannot be one.
    """
    root = layout.root(disk)
    steps = [
        *_system(disk, image, server),
        *_proc_and_sys(root, user_namespace),
        *_dev(all_ids),
        *_configuration(machine, server),
        *_volumes(machine),
    ]
    return Boot(
        root=str(root),
        hostname=machine.hostname,
        steps=tuple(steps),
        argv=(
            *image.interpreter.command,
            *("-I", "-B", layout.INIT, layout.marker(machine.directory)),
            *(machine.start_command or (layout.START,)),
        ),
        env=environment(machine),
        user_namespace=user_namespace,
    )


def environment(machine: Machine) -> dict[str, str]:
    """The environment of PID 1: what a container has, and on top what the pod was created with."""
    return {"PATH": _PATH, "HOME": "/root", "HOSTNAME": machine.hostname, **machine.env}


def _system(disk: Path, image: Image, server: SshServer) -> Iterator[Step]:
    for top in sorted(image.layers):
        here = layout.layer(disk, top)
        yield Step(
            "overlay",
            f"/{top}",
            lower=tuple(str(path) for path in image.layers_for(top, server)),
            upper=str(here / "upper"),
            work=str(here / "work"),
            flags=MS_NODEV,
        )
    if image.interpreter.prefix is not None:
        yield Step("bind", layout.PYTHON, source=str(image.interpreter.prefix), flags=MS_RDONLY | MS_NOSUID | MS_NODEV)


def _proc_and_sys(root: Path, user_namespace: bool) -> Iterator[Step]:
    harmless = MS_NOSUID | MS_NODEV | MS_NOEXEC
    yield Step("mount", "/proc", kind="proc", flags=harmless)
    if user_namespace:
        # The mounts below the host's /sys cannot be told apart from it; its permissions hold for us as ever.
        yield Step("bind", "/sys", source="/sys", flags=MS_REC | MS_RDONLY | harmless, optional=True)
        return
    yield Step("bind", "/sys", source="/sys", flags=MS_RDONLY | harmless, optional=True)
    for name in _PROC_READ_ONLY:
        path = f"/proc/{name}"
        yield Step("bind", path, source=f"{root}{path}", flags=MS_RDONLY | harmless, optional=True)
    for name in _PROC_MASKED:
        yield Step("bind", f"/proc/{name}", source="/dev/null", optional=True)


def _dev(all_ids: bool) -> Iterator[Step]:
    yield Step("mount", "/dev", kind="tmpfs", flags=MS_NOSUID, options="mode=755,size=64k")
    for name in _DEVICES:
        yield Step("bind", f"/dev/{name}", source=f"/dev/{name}")
    group = f",gid={_TTY_GROUP}" if all_ids else ""
    yield Step(
        "mount",
        "/dev/pts",
        kind="devpts",
        flags=MS_NOSUID | MS_NOEXEC,
        options=f"newinstance,ptmxmode=0666,mode=0620{group}",
    )
    yield Step("mount", "/dev/shm", kind="tmpfs", flags=MS_NOSUID | MS_NODEV, options="mode=1777")  # noqa: S108
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "core": "/proc/kcore"}
    links.update({"stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"})
    for name, target in links.items():
        yield Step("link", f"/dev/{name}", source=target)


def _configuration(machine: Machine, server: SshServer) -> Iterator[Step]:
    """What differs from boot to boot, in memory: on the container disk it would look like something the user wrote."""
    yield Step("mount", layout.POD, kind="tmpfs", flags=MS_NOSUID | MS_NODEV | MS_NOEXEC, options="mode=700,size=4m")
    if machine.ssh_port is None:
        return
    if server == "asyncssh":
        content = json.dumps({"host": SSH_HOST, "port": machine.ssh_port})
        yield Step("file", f"{layout.POD}/sshd.json", content=content, mode=0o600)
    else:
        content = _SSHD_CONFIG.format(host=SSH_HOST, port=machine.ssh_port)
        yield Step("file", f"{layout.POD}/sshd_config", content=content, mode=0o600)


def _volumes(machine: Machine) -> Iterator[Step]:
    for mount in sorted(machine.mounts, key=lambda mount: mount.target.count("/")):
        yield Step("bind", _mount_path(mount), source=str(mount.source), flags=MS_NODEV)


def _mount_path(mount: Mount) -> str:
    path = PurePosixPath(mount.target)
    outside = not path.is_absolute() or ".." in path.parts
    if (
        outside
        or str(path) in _RESERVED
        or path.is_relative_to(layout.TOOLS)
        or path.parts[1] in ("dev", "proc", "sys")
    ):
        raise SandboxError(
            f"A volume cannot be mounted at {mount.target!r} in a pod.", hint="Use a path such as /workspace."
        )
    return str(path)
