"""Becoming root of a user namespace, for those who are not root of the machine."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from devpod_rp.localcloud.sandbox import kernel


def is_privileged() -> bool:
    """Whether this process may mount and make namespaces as it is; otherwise it needs a user namespace."""
    return os.geteuid() == 0 and kernel.has_capability(kernel.CAP_SYS_ADMIN)


def subordinate_ids() -> tuple[tuple[int, int], tuple[int, int]] | None:
    """The ranges (first, count) of user and group ids that newuidmap(1) may map for us, None without such."""
    if not (shutil.which("newuidmap") and shutil.which("newgidmap")):
        return None
    users, groups = _range(Path("/etc/subuid")), _range(Path("/etc/subgid"))
    return (users, groups) if users and groups else None


def enter_user_namespace() -> None:
    """Become root (id 0) of a new user namespace; with subordinate ids every other id up to 65535 exists as well.

    Raises:
        OSError: the kernel or its administrator does not want it; ``filename`` says at which point.
    """
    uid, gid, ranges = os.geteuid(), os.getegid(), subordinate_ids()
    if ranges is None:
        kernel.unshare(kernel.CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
        return
    # The set-uid helpers must run outside and can only map a process that is already inside.
    inside_read, inside_write = os.pipe()
    helper = os.fork()
    if helper == 0:
        os.close(inside_write)
        os.read(inside_read, 1)
        os._exit(_map_ranges(os.getppid(), (uid, gid), ranges))
    os.close(inside_read)
    try:
        kernel.unshare(kernel.CLONE_NEWUSER)
    finally:
        os.close(inside_write)
        _, status = os.waitpid(helper, 0)
    if status != 0:
        raise PermissionError(1, "newuidmap refused", "newuidmap")


def _map_ranges(pid: int, own: tuple[int, int], ranges: tuple[tuple[int, int], tuple[int, int]]) -> int:
    for tool, mine, (first, count) in zip(("newuidmap", "newgidmap"), own, ranges, strict=True):
        command = [tool, str(pid), "0", str(mine), "1", "1", str(first), str(count)]
        if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode != 0:
            return 1
    return 0


def _range(table: Path) -> tuple[int, int] | None:
    """The first range of subuid(5) that belongs to us and is large enough for the accounts of a system."""
    if not table.exists():
        return None
    names = {str(os.geteuid())}
    with contextlib.suppress(KeyError):  # an id without an account can still be listed by number
        names.add(pwd.getpwuid(os.geteuid()).pw_name)
    for line in table.read_text(encoding="utf-8", errors="replace").splitlines():
        owner, _, numbers = line.partition(":")
        first, _, count = numbers.partition(":")
        if owner in names and first.isdigit() and count.isdigit() and int(count) >= 65535:
            return int(first), 65535
    return None
