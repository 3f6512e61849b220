"""The pod's first process: host keys come back whole or not at all, then the image starts."""

from __future__ import annotations

import hashlib
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from devpod_rp.agent.sessions import hostkeys
from devpod_rp.pod import first_process

SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]


class Pod:
    def __init__(self, base: Path, shell: str) -> None:
        self.etc, self.run, self.volume = base / "etc" / "ssh", base / "run" / "devpod_rp", base / "the volume"
        self._shell = [shell, "sh"] if shell == "busybox" else [shell]

    def keep(self, **keys: str) -> None:
        self.volume.mkdir(exist_ok=True)
        for name, content in keys.items():
            (self.volume / name.replace("__", ".")).write_text(content)
        sums = [f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.name}\n" for each in self.volume.iterdir()]
        (self.volume / hostkeys.SUMS).write_text("".join(sums))

    def start(self, *command: str, host_keys: bool = True) -> subprocess.CompletedProcess[str]:
        keys = str(self.volume) if host_keys else None
        _, flag, script, *rest = first_process.command(command, host_keys=keys, spot=False)
        for there, here in ((hostkeys.PLACE, self.etc), ("/run/devpod_rp", self.run)):
            script = script.replace(there, str(here))
        self.run.parent.mkdir(exist_ok=True)
        return subprocess.run([*self._shell, flag, script, *rest], capture_output=True, text=True, check=False)

    @property
    def outcome(self) -> str:
        return (self.run / "host-keys").read_text().strip()

    @property
    def present(self) -> dict[str, tuple[str, int]]:
        return {each.name: (each.read_text(), stat.S_IMODE(each.stat().st_mode)) for each in self.etc.iterdir()}


@pytest.fixture(params=SHELLS)
def pod(tmp_path: Path, request: pytest.FixtureRequest) -> Pod:
    return Pod(tmp_path, request.param)


def test_kept_keys_are_there_before_the_image_starts(pod: Pod) -> None:
    pod.keep(ssh_host_ed25519_key="private", ssh_host_ed25519_key__pub="public")
    started = pod.start("sh", "-c", f"cat {pod.etc}/ssh_host_ed25519_key; exit 3")
    assert (started.stdout, started.stderr, started.returncode) == ("private", "", 3)
    assert pod.present == {
        "ssh_host_ed25519_key": ("private", 0o600),
        "ssh_host_ed25519_key.pub": ("public", 0o644),
    }
    assert pod.outcome == hostkeys.RESTORED


def test_a_key_of_the_image_gives_way(pod: Pod) -> None:
    pod.keep(ssh_host_rsa_key="kept")
    pod.etc.mkdir(parents=True)
    (pod.etc / "ssh_host_rsa_key").write_text("of the image")
    pod.start("true")
    assert pod.present == {"ssh_host_rsa_key": ("kept", 0o600)}


@pytest.mark.parametrize("damage", ["changed", "missing", "no digests"])
def test_a_damaged_set_is_left_where_it_is(pod: Pod, damage: str) -> None:
    pod.keep(ssh_host_rsa_key="whole", ssh_host_rsa_key__pub="public")
    if damage == "changed":
        (pod.volume / "ssh_host_rsa_key").write_text("who")
    elif damage == "missing":
        (pod.volume / "ssh_host_rsa_key").unlink()
    else:
        (pod.volume / hostkeys.SUMS).write_text("")
    started = pod.start("echo", "on we go")
    assert (started.stdout, started.returncode) == ("on we go\n", 0)
    assert pod.outcome == hostkeys.DAMAGED
    assert not pod.etc.exists()


def test_without_kept_keys_the_image_makes_its_own(pod: Pod) -> None:
    assert pod.start("echo", "a b", "$c").stdout == "a b $c\n"
    assert pod.outcome == hostkeys.NONE


def test_without_a_volume_nothing_is_looked_for(pod: Pod) -> None:
    assert pod.start("echo", "on", host_keys=False).stdout == "on\n"
    assert not pod.run.exists()


def test_a_command_is_started_in_our_place_and_not_below_us(pod: Pod) -> None:
    command = ["sh", "-c", "tr '\\0' ' ' </proc/$PPID/cmdline; exec true"]
    assert "restore" not in pod.start(*command).stdout
