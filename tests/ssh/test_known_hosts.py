"""Host keys and our own key: made once, pinned once, found again by every process."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from devpod_rp import paths
from devpod_rp.errors import ConfigurationError
from devpod_rp.ssh import known_hosts
from devpod_rp.ssh.keys import ensure_identity
from devpod_rp.ssh.known_hosts import HostKey

from .server import as_host_key, new_host_key


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def ssh_keygen(*arguments: str) -> str:
    return subprocess.run(["ssh-keygen", *arguments], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
def test_fingerprints_are_those_of_openssh(tmp_path: Path, kind: str) -> None:
    key = as_host_key(new_host_key(kind))
    (tmp_path / "key.pub").write_text(key.line + "\n")
    printed = ssh_keygen("-l", "-f", str(tmp_path / "key.pub"))
    assert known_hosts.fingerprints_in("SSH host keys:\n" + printed) == {key.fingerprint}


def test_a_log_vouches_by_fingerprint_or_by_whole_key_and_for_nothing_else() -> None:
    first, second, third = (as_host_key(new_host_key()) for _ in range(3))
    log = f"boot\r\n256 {first.fingerprint} root@pod (ED25519)\n{second.line} root@pod\n{third.line[:60]}\n"
    assert known_hosts.fingerprints_in(log) == {first.fingerprint, second.fingerprint}
    assert known_hosts.fingerprints_in(first.fingerprint[:-1]) == set()
    assert known_hosts.fingerprints_in(first.fingerprint + "A") == set()


def test_a_pinned_key_is_found_again_replaced_and_forgotten() -> None:
    first, second = as_host_key(new_host_key()), as_host_key(new_host_key())
    assert known_hosts.pinned("demo") is None
    known_hosts.pin("demo", first)
    known_hosts.pin("other", second)
    assert known_hosts.pinned("demo") == first
    known_hosts.pin("demo", second)
    assert known_hosts.pinned("demo") == second
    assert mode(paths.known_hosts_file("demo")) == 0o600
    assert mode(paths.ssh_dir()) == 0o700
    known_hosts.forget("demo")
    known_hosts.forget("demo")
    assert known_hosts.pinned("demo") is None
    assert known_hosts.pinned("other") == second


def test_ssh_finds_the_pinned_key_under_the_alias() -> None:
    key = as_host_key(new_host_key())
    known_hosts.pin("demo", key)
    found = ssh_keygen("-F", known_hosts.host_key_alias("demo"), "-f", str(paths.known_hosts_file("demo")))
    assert key.line in found


@pytest.mark.parametrize("content", ["", "garbage", "devpod_rp-demo ssh-ed25519 AAAA", "someone ssh-ed25519 {blob}"])
def test_a_damaged_pin_is_an_error_and_never_no_pin(content: str) -> None:
    known_hosts.pin("demo", as_host_key(new_host_key()))
    file = paths.known_hosts_file("demo")
    file.write_text(content.replace("{blob}", file.read_text().split()[2]))
    with pytest.raises(ConfigurationError, match=str(file)):
        known_hosts.pinned("demo")


def test_a_key_names_its_kind_itself() -> None:
    key = as_host_key(new_host_key())
    assert key.is_whole
    assert not HostKey("ssh-rsa", key.base64).is_whole


def test_the_identity_is_made_once_and_private() -> None:
    identity = ensure_identity()
    assert mode(identity.private) == 0o600
    assert mode(identity.private.parent) == 0o700
    assert ensure_identity() == identity
    assert ssh_keygen("-y", "-f", str(identity.private)).split()[:2] == identity.public.split()[:2]
    assert Path(f"{identity.private}.pub").read_text() == identity.public + "\n"


def test_a_lost_public_half_and_loose_permissions_are_repaired() -> None:
    identity = ensure_identity()
    Path(f"{identity.private}.pub").unlink()
    identity.private.chmod(0o644)
    assert ensure_identity() == identity
    assert Path(f"{identity.private}.pub").read_text() == identity.public + "\n"
    assert mode(identity.private) == 0o600


def test_a_damaged_private_key_is_an_error_and_never_replaced() -> None:
    identity = ensure_identity()
    identity.private.write_text("garbage")
    with pytest.raises(ConfigurationError, match=str(identity.private)):
        ensure_identity()
    assert identity.private.read_text() == "garbage"


def test_processes_that_race_for_the_first_key_get_the_same_one() -> None:
    program = "from devpod_rp.ssh.keys import ensure_identity; import sys; sys.stdout.write(ensure_identity().public)"
    racers = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
        for _ in range(4)
    ]
    assert {racer.communicate(timeout=60)[0] for racer in racers} == {ensure_identity().public}
