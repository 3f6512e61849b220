"""What ``doctor`` looks at: each check says what it found, and what to do if that is bad."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devpod_rp import environments, paths
from devpod_rp.errors import DevpodError
from devpod_rp.lifecycle import clouds, localcloud

_LITTLE_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Finding:
    """One check's result; *fix* is the way out when *ok* is false."""

    check: str
    ok: bool
    found: str
    fix: str | None = None

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


def examine(cloud: str | None = None) -> list[Finding]:
    """Run every check; one that fails does not stop the others."""
    checks: tuple[tuple[str, Callable[[], Finding]], ...] = (
        ("ssh", _ssh),
        ("ssh config", _ssh_config),
        ("identity", _identity),
        ("disk", _disk),
        ("environments", _environments),
        ("cloud", lambda: _cloud(cloud)),
    )
    return [_guarded(name, check) for name, check in checks]


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except DevpodError as error:
        return Finding(name, False, error.message, error.hint)


def _ssh() -> Finding:
    found = shutil.which("ssh")
    if found is None:
        return Finding("ssh", False, "there is no ssh on PATH", "install OpenSSH's client (openssh-client)")
    done = subprocess.run([found, "-V"], capture_output=True, text=True, check=False)
    return Finding("ssh", done.returncode == 0, (done.stderr or done.stdout).strip())


def _ssh_config() -> Finding:
    path = paths.user_ssh_config()
    hosts = [each for each in environments.all_environments() if each.ssh is not None]
    if not hosts:
        return Finding("ssh config", True, f"{path} is not ours to touch yet: no environment has an address")
    if shutil.which("ssh") is None:
        return Finding("ssh config", False, "cannot be checked without ssh", "install OpenSSH's client")
    first = hosts[0]
    done = subprocess.run(["ssh", "-F", str(path), "-G", first.host_alias], capture_output=True, text=True, check=False)
    wanted = f"port {first.ssh.port}" if first.ssh else ""
    if done.returncode == 0 and wanted in done.stdout.splitlines():
        return Finding("ssh config", True, f"{first.host_alias} resolves through {path}")
    return Finding(
        "ssh config", False, f"{first.host_alias} does not resolve through {path}", "devpod-rp up writes it anew"
    )


def _identity() -> Finding:
    path = paths.ssh_identity()
    if not path.exists():
        return Finding("identity", True, "made by the first up")
    mode = path.stat().st_mode & 0o777
    if os.name != "nt" and mode & 0o077:
        return Finding("identity", False, f"{path} has mode {mode:o}", f"chmod 600 {path}")
    return Finding("identity", True, str(path))


def _disk() -> Finding:
    place = next(each for each in (paths.state_dir(), *paths.state_dir().parents) if each.exists())
    free = shutil.disk_usage(place).free
    return Finding("disk", free > _LITTLE_BYTES, f"{free / 1e9:.1f} GB free at {place}", "free some space")


def _environments() -> Finding:
    everything = environments.all_environments()
    gone = [each.name for each in everything if not Path(each.folder).is_dir()]
    if gone:
        names = ", ".join(gone)
        return Finding("environments", False, f"the folder of {names} is gone", f"devpod-rp delete {gone[0]}")
    return Finding("environments", True, f"{len(everything)} known")


def _cloud(choice: str | None) -> Finding:
    cloud = clouds.choose(choice)
    with clouds.client(cloud) as client:
        count = len(client.list_pods())
    if cloud.simulated:
        sandbox = localcloud.status()["sandbox"]
        if not sandbox["available"]:
            return Finding("cloud", False, f"the local cloud cannot run pods: {sandbox['missing']}", sandbox["hint"])
    return Finding("cloud", True, f"{cloud.announcement}: {count} pods")
