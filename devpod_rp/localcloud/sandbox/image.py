"""The image of all pods: the system's own directories, and a clean copy of what a pod may know of /etc and /var.

The host's `/usr` (and `/opt`, and `/bin`, `/lib`… where they are no links into it) are the lowest layers, live and
read-only: what the host installs while a pod runs is visible in the pod. Everything else is built here once per state
of the host's package database, kept under ``images/<fingerprint>`` and shared by the pods that started with it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.localcloud.sandbox import erasure, etc, layout, tools, users, var
from devpod_rp.localcloud.sandbox.interpreter import Interpreter, running
from devpod_rp.localcloud.sandbox.model import SandboxError, SshServer

_FORMAT = "1"
_MOMENT_SECONDS = 600.0
"""Much longer than a pod takes from being handed an image to noting on its disk which one it is."""

_TOPS = ("usr", "opt", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
_PACKAGE_DATABASES = ("/var/lib/dpkg/status", "/var/lib/rpm", "/usr/lib/sysimage/rpm", "/lib/apk/db/installed")


@dataclass(frozen=True)
class Image:
    """One built image: *links* are top-level symbolic links (name to target), *layers* the rest, topmost first."""

    identifier: str
    links: dict[str, str]
    layers: dict[str, tuple[Path, ...]]
    interpreter: Interpreter

    def layers_for(self, top: str, server: SshServer) -> tuple[Path, ...]:
        """The layers of the directory *top* when SSH is served by *server*."""
        layers = self.layers[top]
        return (layers[0].with_name(f"{top}-{server}"), *layers) if top == "etc" else layers


def current(state: Path, pods: Path) -> Image:
    """The image of the system as it is now, built if need be; *state* is where this local cloud keeps its files.

    Images that no container disk below *pods* uses any more go away when a new one is built, unless they were handed
    out a moment ago: packages may be installed here while a pod is being made.

    Raises:
        SandboxError: our state lies in a directory that is part of the image, or the disk is full.
    """
    identifier = _fingerprint()
    home = layout.images_dir() / identifier
    links, tops = _top_level(state)
    layout.images_dir().mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(layout.images_dir() / ".lock"):
        if not home.exists():
            _remove_unused(pods)
            _build(home, tops)
        os.utime(home)  # when it was handed out last
    return _at(home, links, tops)


def used_by(disk: Path, state: Path, pods: Path) -> Image:
    """The image that *disk* was made for, if it is still there, else the current one."""
    name = disk / "image"
    identifier = name.read_text(encoding="ascii").strip() if name.exists() else ""
    home = layout.images_dir() / identifier
    if identifier and home.exists():
        return _at(home, *_top_level(state))
    return current(state, pods)


def _at(home: Path, links: dict[str, str], tops: tuple[str, ...]) -> Image:
    layers: dict[str, tuple[Path, ...]] = {top: (home / top, Path("/", top)) for top in tops}
    layers.setdefault("opt", (home / "opt",))
    layers.update({"etc": (home / "etc",), "var": (home / "var",)})
    return Image(home.name, links, layers, running(tops))


def _top_level(state: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    present = [Path("/", name) for name in _TOPS if Path("/", name).is_dir()]
    links = {path.name: os.readlink(path) for path in present if path.is_symlink()}  # noqa: PTH115
    directories = [path for path in present if not path.is_symlink()]
    holding = [path for path in directories if state.resolve().is_relative_to(path)]
    if any(path != Path("/opt") for path in holding):
        raise SandboxError(
            f"A pod cannot run from {state}, which lies inside {holding[0]}, a part of every pod's image.",
            hint="Set DEVPOD_RP_HOME to a directory of your own, for example ~/.devpod_rp.",
        )
    return links, tuple(path.name for path in directories if path not in holding)


def _build(home: Path, tops: tuple[str, ...]) -> None:
    draft = home.with_name(f".new-{home.name}")
    erasure.erase(draft)
    try:
        etc.build(draft / "etc")
        etc.build_servers(draft)
        var.build(draft / "var")
        for top in tops:
            # Only who owns a directory may change it. Without privileges the host's belong to nobody in the pod, so
            # the image puts directories of our own over them, and packages can be installed.
            _skeleton(Path("/", top), draft / top) if not users.is_privileged() else (draft / top).mkdir()
        tools.build(draft, running(tops))
        draft.rename(home)
    except OSError as error:
        erasure.erase(draft)
        raise SandboxError(
            f"The image of the pods could not be built in {home.parent}: {error.strerror}.",
            hint="It needs about 100 MB of space.",
        ) from error


def _skeleton(source: Path, target: Path) -> None:
    target.mkdir(mode=0o755, parents=True)
    with os.scandir(source) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mode & 0o005 == 0o005:
                _skeleton(source / entry.name, target / entry.name)


def _remove_unused(pods: Path) -> None:
    used = {path.read_text(encoding="ascii").strip() for path in pods.glob("*/disk/image")}
    for home in layout.images_dir().iterdir():
        if home.is_dir() and home.name not in used and time.time() - home.stat().st_mtime > _MOMENT_SECONDS:
            erasure.erase(home)


def _fingerprint() -> str:
    parts = [_FORMAT, sys.version, sys.executable, platform.machine(), str(users.is_privileged())]
    parts += [importlib.metadata.version(name) for name in ("asyncssh", "cryptography")]
    for name in _PACKAGE_DATABASES:
        path = Path(name)
        if path.exists():
            status = path.stat()
            parts.append(f"{name} {status.st_mtime_ns} {status.st_size}")
    parts += [hashlib.sha256(path.read_bytes()).hexdigest() for path in tools.sources()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def remember(disk: Path, image: Image) -> None:
    """Note in *disk* which image it lies on."""
    write_atomically(disk / "image", image.identifier.encode("ascii"))
