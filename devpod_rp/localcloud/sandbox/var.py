"""The image's ``/var``: its empty shape, and what the package manager needs to go on from the host's packages."""

from __future__ import annotations

from pathlib import Path

from devpod_rp.localcloud.sandbox import snapshot

_DIRECTORIES = """backups cache cache/apt/archives/partial cache/debconf cache/ldconfig lib lib/apt/lists/partial
lib/dpkg/updates lib/misc lib/systemd local log log/apt mail opt spool""".split()
# dpkg and apt; ucf, pam and debconf for the packages' own scripts; the databases of other distributions.
_COPIED = """lib/dpkg lib/apt lib/ucf lib/pam cache/debconf lib/rpm lib/dnf lib/pacman lib/alternatives""".split()
_LEFT_OUT = frozenset({"lock", "lock-frontend", "daily_lock", "machine-id", "passwords.dat", "partial"})


def build(target: Path) -> None:
    """Make the layer in *target*, which must not exist."""
    target.mkdir(mode=0o755, parents=True)
    for name in _COPIED:
        snapshot.copy(Path("/var", name), target / name, leave_out=lambda path: path.name in _LEFT_OUT)
    for name in _DIRECTORIES:
        (target / name).mkdir(mode=0o755, parents=True, exist_ok=True)
    (target / "tmp").mkdir()
    (target / "tmp").chmod(0o1777)
    (target / "run").symlink_to("/run")
    (target / "lock").symlink_to("/run/lock")
