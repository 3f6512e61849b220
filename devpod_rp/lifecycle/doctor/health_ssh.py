"""What ``doctor`` says of SSH: the client, the configuration it reads, our key, and the keys of the pods."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from devpod_rp import environments, paths
from devpod_rp.environments import Environment
from devpod_rp.lifecycle.doctor.finding import Finding

_OLDEST = (7, 3)
"""The first to know Include: openssh.com, release notes of 7.3."""
_BOM = b"\xef\xbb\xbf"
_INSTALL = "install OpenSSH's client (openssh-client)"


def client() -> Finding:
    found = shutil.which("ssh")
    if found is None:
        return Finding("ssh", False, "there is no ssh on PATH", _INSTALL)
    done = subprocess.run([found, "-V"], capture_output=True, text=True, check=False)
    return version((done.stderr or done.stdout).strip())


def version(said: str) -> Finding:
    """Whether the ssh that says *said* for ``-V`` reads the configuration we write, which is one ``Include``."""
    number = re.search(r"OpenSSH_(?:for_Windows_)?(\d+)\.(\d+)", said)
    if number is None:
        return Finding("ssh", False, f"the ssh on PATH is not OpenSSH ({said})", "put OpenSSH's client first on PATH")
    new_enough = (int(number[1]), int(number[2])) >= _OLDEST
    return Finding("ssh", new_enough, said, "Include needs OpenSSH 7.3 or newer: upgrade it")


def configuration() -> Finding:
    """Whether ``ssh NAME.devpod`` reads for every environment what we wrote, and the first reason if it does not."""
    path, hosts = paths.user_ssh_config(), _with_address()
    if not hosts:
        return Finding("ssh config", True, f"{path} is not ours to touch yet: no environment has an address")
    for found, fix in _troubles(path, hosts):
        return Finding("ssh config", False, found, fix)
    names = ", ".join(each.host_alias for each in hosts)
    return Finding("ssh config", True, f"{names} resolve{'s' if len(hosts) == 1 else ''} through {path}")


def _troubles(path: Path, hosts: list[Environment]) -> Iterator[tuple[str, str]]:
    """What is wrong, with the fix, the cause before what it causes."""
    from devpod_rp.ssh import config_file

    ours, name = paths.ssh_hosts_file(), hosts[0].name
    again = f"devpod-rp up {name} writes it anew"
    if not ours.exists():
        yield f"{ours} is not there", again
        return
    if path.exists() and path.read_bytes().startswith(_BOM):
        yield f"{path} begins with a byte order mark, for which ssh refuses it", f"devpod-rp up {name} mends it"
    for each in (path, ours):
        if _others_may_write(each):
            yield f"others may write {each}, so ssh refuses it", f"chmod go-w {shlex.quote(str(each))}"
    if not config_file.is_included():
        line = f"put this line at its very top: {config_file.include_line()}"
        yield f"{path} does not include our hosts above its first Host", f"devpod-rp up {name}, or {line}"
    for program in _programs(ours):
        if not program.exists():
            yield f"auto_start runs {program}, which is gone", again
    if shutil.which("ssh") is None:
        yield "cannot be checked without ssh", _INSTALL
        return
    for host in hosts:
        asked = ["ssh", "-F", str(path), "-G", host.host_alias]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = done.stderr.strip().partition("\n")[0]
            yield f"ssh cannot read {path}: {reason}", "correct that line"
        said = done.stdout.splitlines()
        for wanted in (f"port {host.ssh.port}" if host.ssh else "", "stricthostkeychecking true"):
            if wanted and wanted not in said:
                fix = f"look for it above our Include, or move that up: {config_file.include_line()}"
                yield f"for {host.host_alias}, {path} says otherwise than {wanted!r}", fix


def _others_may_write(path: Path) -> bool:
    """Whether ssh would refuse the file for that; Windows has other permissions."""
    if os.name == "nt" or not path.exists():
        return False
    status = path.stat()
    return bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)) or status.st_uid not in (0, os.getuid())


def _programs(hosts: Path) -> Iterator[Path]:
    """The interpreter and the script of each ProxyCommand."""
    for line in hosts.read_text(encoding="utf-8").splitlines():
        keyword, _, command = line.strip().partition(" ")
        if keyword == "ProxyCommand":
            yield from (Path(word.replace("%%", "%")) for word in shlex.split(command)[:4] if not word.startswith("-"))


def identity() -> Finding:
    from devpod_rp.ssh.keys import read_identity

    path = paths.ssh_identity()
    if not path.exists():
        pods = [each.name for each in environments.all_environments() if each.pod_id is not None]
        if not pods:
            return Finding("identity", True, "made by the first up")
        fix = (
            f"put it back from a backup; else devpod-rp up makes another, and what is in {path}.pub then must go into "
            "~/.ssh/authorized_keys on the pod, through RunPod's web terminal"
        )
        return Finding("identity", False, f"{path} is gone, and {', '.join(pods)} lets in nobody else", fix)
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name != "nt" and mode & 0o077:
        return Finding("identity", False, f"{path} has mode {mode:o}", f"chmod 600 {shlex.quote(str(path))}")
    read_identity()
    return Finding("identity", True, str(path))


def host_keys() -> Finding:
    """Whether the key that ``ssh`` demands of each pod is the one that was verified."""
    from devpod_rp.ssh import known_hosts

    verified = [each for each in environments.all_environments() if each.host_key is not None]
    for environment in verified:
        pinned = known_hosts.pinned(environment.name)
        if pinned is None or pinned.line != environment.host_key:
            what = "no host key" if pinned is None else "another host key than was verified"
            found = f"{paths.known_hosts_file(environment.name)} has {what}"
            return Finding("host keys", False, found, f"devpod-rp up {environment.name} verifies it and writes it anew")
    return Finding("host keys", True, f"{len(verified)} pinned")


def _with_address() -> list[Environment]:
    return [each for each in environments.all_environments() if each.ssh is not None]
