"""The Linux system calls a sandbox is made of, as functions that raise OSError.

Python has none of them before 3.12, and calling the kernel directly keeps a bare machine's util-linux (and its
versions) out of the picture. Numbers and flags: ``linux/{sched,mount,prctl,capability}.h``.
"""

from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_RELATIME = 1 << 21

CAP_SYS_ADMIN = 21
_MNT_DETACH = 2
_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PIVOT_ROOT_NUMBER = {
    "x86_64": 155,
    "aarch64": 41,
    "riscv64": 41,
    "loongarch64": 41,
    "i686": 217,
    "armv7l": 218,
    "ppc64le": 203,
    "s390x": 217,
}
# statvfs(3) flags that a bind mount of a less privileged namespace must repeat when it is remounted.
_LOCKED = {
    os.ST_RDONLY: MS_RDONLY,
    os.ST_NOSUID: MS_NOSUID,
    os.ST_NODEV: MS_NODEV,
    os.ST_NOEXEC: MS_NOEXEC,
    os.ST_NOATIME: MS_NOATIME,
    os.ST_NODIRATIME: MS_NODIRATIME,
    os.ST_RELATIME: MS_RELATIME,
}

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Move this process (for CLONE_NEWPID: its future children) into new namespaces."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """mount(2); *options* is the file system's own option string."""
    _checked(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            None if kind is None else kind.encode("ascii"),
            ctypes.c_ulong(flags),
            os.fsencode(options) if options else None,
        ),
        target,
    )


def restrict(target: str, flags: int) -> None:
    """Add *flags* to the bind mount at *target*, keeping those it has."""
    present = os.statvfs(target).f_flag
    kept = sum(flag for status, flag in _LOCKED.items() if present & status)
    mount("none", target, None, MS_REMOUNT | MS_BIND | kept | flags)


def pivot_root(new_root: str) -> None:
    """Make the mount at *new_root* the root of this mount namespace and let go of the old one with all its mounts.

    Old and new root are stacked on one directory for a moment (pivot_root(2), "pivot_root(".", ".")"), so the new
    root needs no directory to put the old one.
    """
    os.chdir(new_root)
    number = _PIVOT_ROOT_NUMBER.get(platform.machine())
    if number is None:
        raise OSError(38, f"pivot_root is not known for {platform.machine()}")
    _checked(_libc.syscall(ctypes.c_long(number), b".", b"."), "pivot_root")
    _checked(_libc.umount2(b".", ctypes.c_int(_MNT_DETACH)), "umount of the old root")
    os.chdir("/")


def set_hostname(name: str) -> None:
    raw = name.encode("ascii")
    _checked(_libc.sethostname(raw, ctypes.c_size_t(len(raw))), "sethostname")


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send *signal_number* to this process when the thread that forked it ends."""
    _checked(_prctl(_PR_SET_PDEATHSIG, signal_number), "PR_SET_PDEATHSIG")


def limit_capabilities(allowed: frozenset[int]) -> None:
    """After the next exec, root has the capabilities of *allowed* and can never get others."""
    capability = 0
    while _prctl(_PR_CAPBSET_READ, capability) >= 0:
        if capability not in allowed:
            _checked(_prctl(_PR_CAPBSET_DROP, capability), "PR_CAPBSET_DROP")
        capability += 1


def has_capability(capability: int) -> bool:
    """Whether this process may use *capability* now."""
    status = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines()
    effective = next((line.split()[1] for line in status if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) & (1 << capability))


def _prctl(option: int, argument: int) -> int:
    zero = ctypes.c_ulong(0)
    result: int = _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(argument), zero, zero, zero)
    return result


def _checked(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
