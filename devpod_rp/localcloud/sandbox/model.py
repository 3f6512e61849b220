"""What a sandbox is asked to be, and what it may answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from devpod_rp.errors import DevpodError, ExitCode

SshServer = Literal["openssh", "asyncssh"]


class SandboxError(DevpodError):
    """This machine cannot run the pod; the message is one sentence, the hint says how to get what is missing."""

    exit_code = ExitCode.CONFIGURATION
    kind = "sandbox"


@dataclass(frozen=True)
class Mount:
    """A volume: *source* is a directory of the host, *target* an absolute path in the pod."""

    source: Path
    target: str


@dataclass(frozen=True)
class Machine:
    """Everything a sandbox needs to be a pod.

    *directory* is the pod's own state directory: its container disk, log and runtime files live there and nothing
    else does. *ssh_port* is where sshd listens on 127.0.0.1 (the network is the host's); None means no SSH.
    *start_command* None is the image's own ``/start.sh``. *ssh_server* chooses the kind; None is what `probe` names.
    """

    pod_id: str
    hostname: str
    directory: Path
    env: Mapping[str, str] = field(repr=False)  # values are secrets
    mounts: tuple[Mount, ...] = ()
    ssh_port: int | None = None
    start_command: tuple[str, ...] | None = None
    ssh_server: SshServer | None = None


@dataclass(frozen=True)
class Support:
    """Whether this machine can run pods, and how; *missing* is one sentence, *hint* what to do about it."""

    available: bool
    privileged: bool
    sshd: SshServer
    missing: str | None = None
    hint: str | None = None
