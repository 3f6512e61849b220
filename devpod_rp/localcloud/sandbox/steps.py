"""A pod's file system as a list of steps: made by the server, carried out inside the new mount namespace."""

# Paths below another root are text, and a step may fail by itself.
# ruff: noqa: PTH101, PTH102, PTH112, PTH211

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from devpod_rp.localcloud.sandbox import kernel


@dataclass(frozen=True)
class Step:
    """One thing to do below the pod's root. *target* is a path in the pod, *source* one of the host.

    ``bind`` mounts *source*, ``overlay`` the layers *lower* (topmost first) below *upper*, ``mount`` a new file system
    of *kind*. ``directory``, ``link`` (to *source*) and ``file`` (with *content*) make what the mounts before it have
    not brought. *optional* steps may fail where the kernel offers less.
    """

    verb: Literal["bind", "overlay", "mount", "directory", "link", "file"]
    target: str
    source: str = ""
    kind: str = ""
    flags: int = 0
    options: str = ""
    lower: tuple[str, ...] = ()
    upper: str = ""
    work: str = ""
    mode: int = 0o755
    content: str = ""
    optional: bool = False

    def as_json(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Step:
        return cls(**{**document, "lower": tuple(document["lower"])})


class StepFailedError(Exception):
    """A step could not be carried out."""

    def __init__(self, step: Step, cause: OSError) -> None:
        super().__init__(f"{step.verb} {step.target}: {cause.strerror}")
        self.step = step
        self.cause = cause


def carry_out(steps: Iterable[Step], root: str, *, user_namespace: bool) -> None:
    """Do *steps* in order below the directory *root*.

    Raises:
        StepFailedError: with the first one that could not be done and is not optional.
    """
    for step in steps:
        try:
            _do(step, root, user_namespace)
        except OSError as error:
            if not step.optional:
                raise StepFailedError(step, error) from error


def _do(step: Step, root: str, user_namespace: bool) -> None:
    if step.verb == "bind":
        _bind(step, _mount_point(root, step.target, directory=os.path.isdir(step.source)))
    elif step.verb == "overlay":
        options = overlay_options(step, user_namespace)
        kernel.mount("overlay", _mount_point(root, step.target), "overlay", step.flags, options)
    elif step.verb == "mount":
        kernel.mount(step.kind, _mount_point(root, step.target), step.kind, step.flags, step.options)
    elif step.verb == "directory":
        os.chmod(_mount_point(root, step.target), step.mode)
    elif step.verb == "link":
        os.symlink(step.source, root + step.target)
    else:
        _write(root + step.target, step.content, step.mode)


def overlay_options(step: Step, user_namespace: bool) -> str:
    """The option string of overlayfs. A user namespace may not write ``trusted.*`` attributes, hence ``userxattr``
    (Linux 5.11, Documentation/filesystems/overlayfs.rst)."""
    lower = ":".join(_escaped(layer).replace(":", "\\:") for layer in step.lower)
    options = [f"lowerdir={lower}", f"upperdir={_escaped(step.upper)}", f"workdir={_escaped(step.work)}"]
    return ",".join([*options, "userxattr"] if user_namespace else options)


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace(",", "\\,")


def _bind(step: Step, target: str) -> None:
    flags = step.flags & kernel.MS_REC
    kernel.mount(step.source, target, None, kernel.MS_BIND | flags)
    restrictions = step.flags & ~kernel.MS_REC
    if restrictions:
        kernel.restrict(target, restrictions)


def _mount_point(root: str, target: str, *, directory: bool = True) -> str:
    # The container disk belonged to a pod before: a symbolic link on it must not lead a mount out of the pod's root.
    path = root
    names: Sequence[str] = [name for name in target.split("/") if name]
    for position, name in enumerate(names):
        path = f"{path}/{name}"
        last = position == len(names) - 1
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            if last and not directory:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
            else:
                os.mkdir(path, 0o755)
            continue
        wanted = stat.S_ISDIR(mode) if directory or not last else not stat.S_ISLNK(mode)
        if not wanted:
            raise OSError(errno.ENOTDIR, "is not a directory on the container disk", path[len(root) :])
    return path


def _write(path: str, content: str, mode: int) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write(content)
