"""The image's ``/etc``: the host's, without what makes it that host and without anything secret."""

from __future__ import annotations

import shutil
from pathlib import Path

from devpod_rp.localcloud.sandbox import layout, snapshot

_HUMANS = range(1000, 65534)  # login.defs(5): UID_MIN, and below nobody
_ENTRY = "{name}:*:20000:0:99999:7:::\n"
# Names in /etc. Host keys, identities, mounts, accounts' secrets, networks, services that no pod runs.
_HOSTS_OWN = frozenset(
    """.pwd.lock NetworkManager adjtime blkid.tab cloud cni containers cron.d cron.daily cron.hourly
    cron.monthly cron.weekly crontab crypttab docker environment fstab group group- gshadow gshadow- hostid
    hostname hosts krb5.keytab kubernetes letsencrypt machine-id machine-info mtab netplan network
    nftables.conf openvpn passwd passwd- postgresql ppp rancher resolv.conf shadow shadow- ssh subgid subgid-
    subuid subuid- sudoers sudoers.d tailscale udev wireguard wpa_supplicant""".split()
)
_APT = """\
// A pod without subordinate ids has no account but root; nobody is there to answer questions about configuration.
APT::Sandbox::User "root";
Dpkg::Options:: "--force-confold";
"""


def build(target: Path) -> None:
    """Make the layer in *target*, which must not exist."""
    host = Path("/etc")
    target.mkdir(mode=0o755, parents=True)
    snapshot.copy(
        host, target, leave_out=lambda path: path.parent == host and path.name in _HOSTS_OWN, look_inside=True
    )
    (target / "ssh").mkdir(mode=0o755)
    for name in ("moduli", "ssh_config"):
        if (host / "ssh" / name).is_file():
            shutil.copyfile(host / "ssh" / name, target / "ssh" / name)
    _accounts(host, target)
    _write(target / "environment", "")
    _write(target / "fstab", "")
    _write(target / "machine-id", "", 0o444)
    (target / "mtab").symlink_to("/proc/self/mounts")
    if shutil.which("sudo"):
        _write(target / "sudoers", "Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n", 0o440)
    if (target / "apt").is_dir():
        (target / "apt" / "apt.conf.d").mkdir(mode=0o755, exist_ok=True)
        _write(target / "apt" / "apt.conf.d" / "99pod", _APT)


def build_servers(image: Path) -> None:
    """The two small layers of which one lies over ``/etc``: how ``service ssh`` and sshd find their way."""
    openssh, asyncssh = image / "etc-openssh" / "ssh", image / "etc-asyncssh" / "init.d"
    for directory in (openssh, asyncssh):
        directory.mkdir(mode=0o755, parents=True)
    _write(openssh / "sshd_config", f"Include {layout.POD}/sshd_config\n")
    _write(asyncssh / "ssh", f'#!/bin/sh\nexec {layout.SSH_SERVER} "$@"\n', 0o755)


def _accounts(host: Path, target: Path) -> None:
    """The system's accounts. The people who use this machine are none of the pod's business."""
    people = set()
    kept = []
    for fields in _table(host / "passwd", 7):
        if fields[2].isdigit() and int(fields[2]) in _HUMANS:
            people.add(fields[0])
        elif fields[0] == "root":
            shell = "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"
            kept.append(["root", "x", "0", "0", "root", "/root", shell])
        else:
            kept.append([fields[0], "x", *fields[2:]])
    groups = [
        [name, "x", number, ",".join(member for member in members.split(",") if member not in people)]
        for name, _, number, members in _table(host / "group", 4)
        if not (number.isdigit() and int(number) in _HUMANS)
    ]
    _write(target / "passwd", "".join(":".join(fields) + "\n" for fields in kept))
    _write(target / "group", "".join(":".join(fields) + "\n" for fields in groups))
    _write(target / "shadow", "".join(_ENTRY.format(name=fields[0]) for fields in kept), 0o600)
    _write(target / "gshadow", "".join(f"{fields[0]}:*::\n" for fields in groups), 0o600)


def _table(path: Path, width: int) -> list[list[str]]:
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    return [fields for fields in (line.split(":") for line in lines) if len(fields) == width]


def _write(path: Path, content: str, mode: int = 0o644) -> None:
    path.unlink(missing_ok=True)
    path.write_text(content, encoding="utf-8", errors="surrogateescape")
    path.chmod(mode)
