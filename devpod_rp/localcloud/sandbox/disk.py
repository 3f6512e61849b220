"""The container disk of a pod: its ``/`` and the upper layers of the system directories.

``<pod>/disk/root`` is the pod's ``/`` (all but the system directories), ``<pod>/disk/layers/<top>/upper`` what the pod
changed below ``/<top>``. A disk appears by one rename when it is complete and goes by one rename before it is deleted,
so after a crash there is a whole disk or none.
"""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from devpod_rp.localcloud.sandbox import erasure, image, layout, tools
from devpod_rp.localcloud.sandbox.image import Image
from devpod_rp.localcloud.sandbox.model import Machine, SandboxError

_EMPTY = {
    "boot": 0o755,
    "dev": 0o755,
    "home": 0o755,
    "media": 0o755,
    "mnt": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "run": 0o755,
    "run/lock": 0o1777,
    "srv": 0o755,
    "sys": 0o555,
    "tmp": 0o1777,
}
_BASHRC = """\
# ~/.bashrc: executed by bash(1) for interactive shells, and for commands that come over SSH.
case $- in
    *i*)
        HISTCONTROL=ignoreboth
        shopt -s histappend checkwinsize
        PS1='\\u@\\h:\\w\\$ '
        alias ls='ls --color=auto' ll='ls -alF'
        ;;
esac
"""
_PROFILE = """\
# ~/.profile: executed by login shells.
if [ -n "$BASH_VERSION" ] && [ -f ~/.bashrc ]; then
    . ~/.bashrc
fi
"""
_HOSTS = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
127.0.1.1\t{hostname}
"""


def container_log(directory: Path) -> Path:
    """The log of the pod in *directory*: every line begins with an RFC 3339 time in UTC and one space."""
    return layout.container_log(directory)


def wipe(directory: Path) -> None:
    """Bring the container disk of the pod in *directory*, which must not run, back to the image's state.

    Raises:
        SandboxError: something could not be deleted; the pod will start with a clean disk all the same. Or it runs.
    """
    disk = layout.container_disk(directory)
    if disk.exists():
        disk.rename(directory / f"trash-{secrets.token_hex(4)}")
    clear_leftovers(directory)


def clear_leftovers(directory: Path) -> None:
    """Finish what a crash interrupted: wipes, and disks that were never completed."""
    for leftover in (*directory.glob("trash-*"), *directory.glob("draft-*")):
        erase(leftover)


def erase(path: Path) -> None:
    """Remove a directory tree a pod has written to (a volume, say), whatever modes and owners it gave its files.

    Raises:
        SandboxError: something in it cannot be removed.
    """
    try:
        erasure.erase(path)
    except OSError as error:
        raise SandboxError(
            f"{error.filename or path} cannot be deleted: {error.strerror}.", hint=f"As its owner: rm -rf {path}"
        ) from error


def ensure(machine: Machine) -> tuple[Path, Image]:
    """The container disk of *machine* and the image below it; made anew if there is none.

    Raises:
        SandboxError: it cannot be made.
    """
    machine.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    clear_leftovers(machine.directory)
    disk = layout.container_disk(machine.directory)
    pods = machine.directory.parent
    if disk.exists():
        return disk, image.used_by(disk, machine.directory, pods)
    chosen = image.current(machine.directory, pods)
    try:
        _make(machine, chosen, disk)
    except OSError as error:
        raise SandboxError(f"The container disk {disk} could not be made: {error.strerror}.") from error
    return disk, chosen


def _make(machine: Machine, chosen: Image, disk: Path) -> None:
    draft = machine.directory / f"draft-{secrets.token_hex(4)}"
    root = layout.root(draft)
    root.mkdir(parents=True)
    for name, mode in _EMPTY.items():
        (root / name).mkdir()
        (root / name).chmod(mode)
    for name, target in chosen.links.items():
        (root / name).symlink_to(target)
    for top in chosen.layers:
        (root / top).mkdir()
        for part in ("upper", "work"):
            (layout.layer(draft, top) / part).mkdir(parents=True)
            (layout.layer(draft, top) / part).chmod(0o755)
    _write(root / "root" / ".bashrc", _BASHRC)
    _write(root / "root" / ".profile", _PROFILE)
    _write(root / layout.START.lstrip("/"), tools.start_script(), 0o755)
    etc = layout.layer(draft, "etc") / "upper"
    _write(etc / "hostname", machine.hostname + "\n")
    _write(etc / "hosts", _HOSTS.format(hostname=machine.hostname))
    if Path("/etc/resolv.conf").exists():
        shutil.copyfile(
            "/etc/resolv.conf", etc / "resolv.conf"
        )  # what the link points to: /run is another one in a pod
        (etc / "resolv.conf").chmod(0o644)
    image.remember(draft, chosen)
    root.chmod(0o755)
    draft.rename(disk)


def _write(path: Path, content: str, mode: int = 0o644) -> None:
    path.write_text(content, encoding="utf-8")
    path.chmod(mode)
