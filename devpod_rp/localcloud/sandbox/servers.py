"""Which SSH server a pod gets."""

from __future__ import annotations

from pathlib import Path

from devpod_rp.localcloud.sandbox import users
from devpod_rp.localcloud.sandbox.image import Image
from devpod_rp.localcloud.sandbox.model import SshServer

_OPENSSH = Path("/usr/sbin/sshd")
_ACCOUNT = "sshd:"  # the account that OpenSSH gives its unprivileged half


def best() -> SshServer:
    """OpenSSH where the system has it and it can give up its privileges in a pod, else the embedded server."""
    all_ids = users.is_privileged() or users.subordinate_ids() is not None
    return "openssh" if all_ids and _OPENSSH.exists() and _has_account(Path("/etc/passwd")) else "asyncssh"


def best_for(image: Image) -> SshServer:
    """As `best`, for a pod on *image*, which may be older than the system's OpenSSH."""
    accounts = image.layers["etc"][0] / "passwd"
    return best() if _has_account(accounts) else "asyncssh"


def _has_account(table: Path) -> bool:
    return table.exists() and any(line.startswith(_ACCOUNT) for line in table.read_text(errors="replace").splitlines())
