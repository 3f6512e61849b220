"""What ``doctor`` looks at: each check says what it found, and what to do if that is bad."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path

from devpod_rp import environments, paths
from devpod_rp.errors import DevpodError, UnreachableError
from devpod_rp.lifecycle.account import clouds
from devpod_rp.lifecycle.doctor import health_ssh
from devpod_rp.lifecycle.doctor.finding import Finding
from devpod_rp.lifecycle.reach import localcloud, syncing

_LITTLE_BYTES = 1_000_000_000
_CLOCK_SECONDS = 60.0
_CLOUD_SECONDS = 10.0


def examine(cloud: str | None = None) -> list[Finding]:
    """Run every check; one that fails does not stop the others."""
    checks: tuple[tuple[str, Callable[[], Finding]], ...] = (
        ("ssh", health_ssh.client),
        ("ssh config", health_ssh.configuration),
        ("identity", health_ssh.identity),
        ("host keys", health_ssh.host_keys),
        ("configuration", _configuration),
        ("disk", _disk),
        ("watches", _watches),
        ("editors", _editors),
        ("environments", _environments),
        ("cloud", lambda: _cloud(cloud)),
        ("clock", lambda: _clock(cloud)),
    )
    return [_guarded(name, check) for name, check in checks]


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except DevpodError as error:
        return Finding(name, False, error.message, error.hint)


def _disk() -> Finding:
    place = next(each for each in (paths.state_dir(), *paths.state_dir().parents) if each.exists())
    free = shutil.disk_usage(place).free
    return Finding("disk", free > _LITTLE_BYTES, f"{free / 1e9:.1f} GB free at {place}", "free some space")


def _configuration() -> Finding:
    from devpod_rp.spec.sources import load

    loaded = load(Path.cwd(), {})
    said = f"what counts in {Path.cwd()} is well-formed (template {loaded.spec.template})"
    return Finding("configuration", loaded.warning is None, loaded.warning or said, "devpod-rp config show")


def _watches() -> Finding:
    needed = sum(syncing.folders(each) for each in environments.all_environments() if Path(each.folder).is_dir())
    try:
        limit = int(Path("/proc/sys/fs/inotify/max_user_watches").read_text("ascii"))
    except (OSError, ValueError):
        return Finding("watches", True, "this system sets no limit on watched folders")
    return watches(limit, needed)


def watches(limit: int, needed: int) -> Finding:
    """Whether a system that lets one user watch *limit* folders has room for the *needed* ones beside an editor's."""
    enough = 2 * needed < limit
    found = f"{needed} folders of environments to watch, {limit} may be"
    return Finding("watches", enough, found, f"sudo sysctl -w fs.inotify.max_user_watches={max(524_288, 4 * needed)}")


def _editors() -> Finding:
    from devpod_rp.editors.registry import editors

    there = []
    for name, editor in editors().items():
        if editor.program() is not None:
            missing = editor.missing_extension()
            there.append(f"{name} (open --ide {name} offers its extension {missing})" if missing else name)
    return Finding("editors", True, ", ".join(there) or "none on this machine; open --ide browser needs none")


def _clock(choice: str | None) -> Finding:
    import httpx

    cloud = clouds.choose(choice)
    try:
        said = httpx.get(cloud.url, timeout=_CLOUD_SECONDS).headers.get("date")
    except httpx.HTTPError as error:
        raise UnreachableError(f"{cloud.url} does not tell the time: {error}.") from error
    if said is None:
        return Finding("clock", True, f"{cloud.name} does not tell the time")
    return clock(parsedate_to_datetime(said), datetime.now(timezone.utc))


def clock(theirs: datetime, ours: datetime) -> Finding:
    """Whether *ours* is near enough to the cloud's time for limits, and for certificates, to mean what they say."""
    ahead = (ours - theirs).total_seconds()
    if abs(ahead) <= _CLOCK_SECONDS:
        return Finding("clock", True, f"within {_CLOCK_SECONDS:.0f} s of the cloud's")
    word = "ahead of" if ahead > 0 else "behind"
    fix = "set the clock by the network: timedatectl set-ntp true (Linux), or the system's date settings"
    return Finding("clock", False, f"{abs(ahead):.0f} s {word} the cloud's", fix)


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
