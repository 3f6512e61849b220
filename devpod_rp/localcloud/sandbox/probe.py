"""Finding out whether this machine can run pods, by running the smallest one there is."""

from __future__ import annotations

import platform
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from devpod_rp import paths
from devpod_rp.localcloud.sandbox import erasure, servers, users
from devpod_rp.localcloud.sandbox.boot import Boot
from devpod_rp.localcloud.sandbox.kernel import MS_NODEV, MS_NOEXEC, MS_NOSUID
from devpod_rp.localcloud.sandbox.launch import launch
from devpod_rp.localcloud.sandbox.model import SandboxError, Support
from devpod_rp.localcloud.sandbox.steps import Step


def probe() -> Support:
    """Try what a pod needs, for real, and say what is missing. Takes about a tenth of a second."""
    if platform.system() != "Linux":
        return Support(
            available=False,
            privileged=False,
            sshd="asyncssh",
            missing=f"Pods of the local cloud need Linux namespaces; this is {platform.system()}.",
            hint="Use a Linux machine, a virtual machine or WSL 2, or RunPod itself: devpod-rp up --cloud runpod",
        )
    privileged = users.is_privileged()
    directory = paths.local_cloud_dir() / f"probe-{secrets.token_hex(4)}"
    try:
        _run_nothing(directory, privileged)
    except SandboxError as error:
        return Support(False, privileged, servers.best(), error.message, error.hint)
    except OSError as error:
        return Support(
            False, privileged, servers.best(), f"{error.filename or directory} cannot be used: {error.strerror}."
        )
    finally:
        erasure.erase(directory)
    return Support(True, privileged, servers.best())


def _run_nothing(directory: Path, privileged: bool) -> None:
    """Boot ``true`` on the host's system directories.

    Raises:
        SandboxError: that is not possible here.
    """
    root = directory / "root"
    root.mkdir(mode=0o700, parents=True)
    true = Path(shutil.which("true") or "/bin/true")
    boot = Boot(
        root=str(root),
        hostname="probe",
        steps=tuple(_steps(directory, root)),
        argv=(str(true),),
        env={},
        user_namespace=not privileged,
    )
    launched = launch(boot, directory)
    assert launched.supervisor.stdin is not None
    launched.supervisor.wait()
    launched.supervisor.stdin.close()


def _steps(directory: Path, root: Path) -> Iterator[Step]:
    for top in (Path("/", name) for name in ("usr", "bin", "lib", "lib64")):
        if top.is_symlink():
            (root / top.name).symlink_to(top.readlink())
        elif top.is_dir():
            upper, work = directory / top.name / "upper", directory / top.name / "work"
            upper.mkdir(parents=True)
            work.mkdir()
            yield Step("overlay", str(top), lower=(str(top),), upper=str(upper), work=str(work))
    yield Step("mount", "/proc", kind="proc", flags=MS_NOSUID | MS_NODEV | MS_NOEXEC)
    yield Step("mount", "/dev", kind="tmpfs", flags=MS_NOSUID, options="mode=755,size=64k")
    yield Step("bind", "/dev/null", source="/dev/null")
    yield Step("mount", "/dev/pts", kind="devpts", flags=MS_NOSUID | MS_NOEXEC, options="newinstance,ptmxmode=0666")
