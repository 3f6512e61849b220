"""Bad days: a full disk, an emptied folder, somebody else at the pod's address, a machine that can run no pods."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.conftest import World, eventually
from tests.ssh.openssh import OpenSshServer, find_sshd

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(300)]

SECRET = "hf_THISISTHESECRETVALUE"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- nothing of the pod's variables and keys shows up ----------------------------------------------------------------
@pytest.fixture(scope="module")
def pod(world: World) -> World:
    (world.folder / "devpod-rp.toml").write_text(f'[env]\nHF_TOKEN = "{SECRET}"\n')
    for number in range(6):
        (world.folder / f"data{number}.txt").write_text(f"data {number}\n")
    result = world.run("-v", "up", "--yes", "--json")
    assert result.exit_code == 0, result.stdout + result.stderr
    assert SECRET not in result.stdout + result.stderr
    assert world.local_cloud()["token"] not in result.stdout + result.stderr
    return world


def test_a_secret_reaches_the_pod_and_no_process_list(pod: World) -> None:
    assert pod.ssh('bash -lc "echo $HF_TOKEN"').exit_code == 0
    assert pod.ssh("bash -lc 'printenv HF_TOKEN'").stdout == f"{SECRET}\n"
    hidden = (SECRET, pod.local_cloud()["token"])
    for process in pod.processes():
        command = " ".join(process.cmdline())
        assert not any(each in command for each in hidden), command


def test_a_secret_is_in_no_answer_and_no_log(pod: World) -> None:
    hidden = (SECRET, pod.local_cloud()["token"])
    for words in (
        ("status", "--json"),
        ("list", "--all", "--json"),
        ("check", "--json"),
        ("sync", "status", "--json"),
        ("logs",),
        ("logs", "--keeper"),
        ("doctor", "--json"),
        ("local", "status", "--json"),
        ("up", "--dry-run", "--json"),
        ("-v", "list"),
    ):
        told = pod.run(*words)
        assert told.exit_code == 0, (words, told)
        assert not any(each in told.stdout + told.stderr for each in hidden), words
    logs = [path for path in pod.home.rglob("*.log*") if path.is_file() and "/pods/" not in str(path)]
    assert logs
    for path in logs:
        assert not any(each in path.read_text(errors="replace") for each in hidden), path


def test_files_with_a_secret_are_for_the_user_alone(pod: World) -> None:
    for top, _, names in os.walk(pod.home):
        for path in (Path(top, name) for name in names):
            if path.is_symlink() or not path.is_file() or SECRET.encode() not in path.read_bytes():
                continue
            chain = [path, *(each for each in path.parents if each.is_relative_to(pod.home))]
            assert any(not each.stat().st_mode & 0o077 for each in chain), f"{path} can be read by others"


# -- an impostor ----------------------------------------------------------------------------------------------------
@pytest.fixture
def impostor(pod: World, tmp_path: Path) -> Iterator[OpenSshServer]:
    """Another server on the pod's port that would let the same key in."""
    sshd = find_sshd()
    if sshd is None:
        pytest.skip("no OpenSSH server to play the impostor")
    port = pod.run("status", "--json").json["ssh"]["port"]
    pod.ssh("kill $(cat /run/sshd.pid)")
    eventually(lambda: _free(port), "the pod's own server is gone")
    public = (pod.home / "ssh" / "id_ed25519.pub").read_text().strip()
    with OpenSshServer(sshd, tmp_path / "impostor", public, port=port) as server:
        yield server
    # The pod's own way to start its server again.
    assert pod.run("stop", "--force", "--json").exit_code == 0
    pod.up()


def _free(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False


def test_an_impostor_at_the_pods_address_is_refused_by_everybody(pod: World, impostor: OpenSshServer) -> None:
    known_hosts = {path: path.read_bytes() for path in (pod.home / "ssh" / "known_hosts.d").iterdir()}
    assert known_hosts
    refused = pod.ssh("echo I got in")
    assert refused.exit_code == 255
    assert "I got in" not in refused.stdout
    assert (
        "REMOTE HOST IDENTIFICATION HAS CHANGED" in refused.stderr or "Host key verification failed" in refused.stderr
    )
    for words in (("check",), ("rescue",), ("up", "--yes")):
        answer = pod.run(*words, "--json")
        assert answer.exit_code == 6, (words, answer)
        assert "host key" in answer.json["error"]["message"]
    stopped = pod.run("stop", "--json")
    assert stopped.exit_code == 7, "nobody could look into the pod"
    assert {path: path.read_bytes() for path in known_hosts} == known_hosts
    assert pod.run("status", "--json").json["status"] == "RUNNING"


# -- the pod's folder goes away --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "disaster",
    [
        "cd /workspace/proj && find . -mindepth 1 -delete",
        "rm -rf /workspace/proj && mkdir /workspace/proj",
        "rm -rf /workspace/proj",
        "mv /workspace/proj /workspace/moved",
    ],
    ids=["emptied", "made anew", "gone", "moved"],
)
def test_a_root_that_was_lost_on_the_pod_halts_and_deletes_nothing_here(pod: World, disaster: str) -> None:
    assert pod.run("sync", "flush").exit_code == 0
    before = contents(pod.folder)
    assert pod.ssh(disaster).exit_code == 0
    flushed = pod.run("sync", "flush", "--json")
    assert flushed.exit_code == 8, flushed
    assert "Nothing was deleted" in flushed.json["error"]["message"]
    state = pod.run("sync", "status", "--json").json
    assert state["state"] == "halted", state
    assert "devpod-rp sync resume" in state["halted"]["hint"]
    assert "halted: " in pod.run("sync", "status").stdout
    (pod.folder / "after.txt").write_text(f"saved after {disaster}\n")
    assert pod.run("sync", "flush").exit_code == 8, "it stays halted until somebody has looked"
    assert pod.ssh("ls /workspace/proj/after.txt").exit_code != 0
    assert pod.run("sync", "resume").exit_code == 0
    resumed = pod.run("sync", "flush")
    assert resumed.exit_code == 0, resumed
    assert pod.ssh("cat /workspace/proj/data3.txt").stdout == "data 3\n"
    assert pod.ssh("cat /workspace/proj/after.txt").stdout == f"saved after {disaster}\n"
    after = contents(pod.folder)
    assert {**before, "after.txt": after["after.txt"]} == after


# -- a pause ----------------------------------------------------------------------------------------------------------
def test_a_pause_outlasts_up_and_stop_until_it_is_resumed(pod: World) -> None:
    assert pod.run("sync", "pause").exit_code == 0
    (pod.folder / "data0.txt").write_text("saved during the pause\n")
    again = pod.run("up", "--yes", "--json")
    assert (again.exit_code, again.json["sync"]["state"]) == (0, "paused"), again
    assert "devpod-rp sync resume" in again.stderr
    assert pod.run("stop", "--force", "--json").exit_code == 0
    assert pod.up()["sync"]["state"] == "paused"
    assert pod.ssh("cat /workspace/proj/data0.txt").stdout == "data 0\n"
    assert pod.run("sync", "resume").exit_code == 0
    assert pod.run("sync", "flush").exit_code == 0
    assert pod.ssh("cat /workspace/proj/data0.txt").stdout == "saved during the pause\n"


# -- a machine without sandboxes --------------------------------------------------------------------------------------
def test_a_machine_that_can_run_no_pods_is_told_so_in_one_sentence(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can give up the right to make sandboxes here")
    bare = World(tmp_path)
    # A user namespace that allows no other below it, and a root in it that may not mount.
    lame = 'echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-sys_admin "$@"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", lame, "sh", sys.executable, "-m", "devpod_rp"]
    if subprocess.run([*command[:-3], "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("no user namespaces to forbid")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *words],
            cwd=bare.folder,
            env=bare.environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    try:
        for words in (("up", "--yes"), ("up", "--dry-run")):
            done = run(*words, "--json")
            assert done.returncode == 3, done
            error = json.loads(done.stdout)["error"]
            assert error["code"] == 3
            assert error["message"].count(".") == 1, error["message"]
            assert "user namespaces" in error["message"]
            assert "root" in error["hint"]
        assert run("up", "--yes").stderr.count("error: ") == 1
        doctor = run("doctor", "--json")
        assert doctor.returncode == 3
        [cloud] = [each for each in json.loads(doctor.stdout)["checks"] if each["check"] == "cloud"]
        assert (cloud["ok"], bool(cloud["fix"])) == (False, True)
        assert run("gpus", "--json").returncode == 0, "the catalog needs no sandbox"
        assert json.loads(run("list", "--json").stdout)["environments"] == []
    finally:
        bare.run("local", "stop")
        eventually(lambda: not bare.processes(), "no process of ours is left")


# -- a full disk on the pod --------------------------------------------------------------------------------------------
@pytest.fixture
def small(tmp_path: Path) -> Iterator[World]:
    """A world whose pods live on a disk of 300 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    made = World(tmp_path)
    disk = made.home / "state" / "local-cloud"
    disk.mkdir(mode=0o700, parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300m,mode=700", "small", str(disk)], check=True)
    try:
        (made.folder / "kept.txt").write_text("v1\n")
        yield made
        made.run("local", "reset", "--yes")
        made.run("local", "stop")
        eventually(lambda: not made.processes(), "no process of ours is left")
    finally:
        eventually(lambda: subprocess.run(["umount", str(disk)], check=False).returncode == 0, "the disk is released")


def test_a_full_disk_on_the_pod_is_one_clear_error_and_loses_nothing(small: World) -> None:
    small.up()
    assert small.ssh("head -c 400000000 /dev/zero > /workspace/filler").exit_code != 0
    (small.folder / "kept.txt").write_text("v2, which has to replace v1\n")
    (small.folder / "model.bin").write_bytes(os.urandom(3_000_000))
    flushed = small.run("sync", "flush", "--json")
    assert flushed.exit_code == 8, flushed
    assert "space" in json.dumps(flushed.json).lower()
    told = small.run("sync", "status").stdout + small.run("sync", "flush").stderr
    assert "space" in told.lower()
    assert "Errno" not in told
    there = small.ssh("cat /workspace/proj/kept.txt").stdout
    assert there in ("v1\n", "v2, which has to replace v1\n"), "a torn file"
    assert small.ssh("test -e /workspace/proj/model.bin").exit_code == 1, "a part of a file"
    assert (small.folder / "kept.txt").read_text() == "v2, which has to replace v1\n"
    assert small.ssh("rm /workspace/filler").exit_code == 0
    eventually(lambda: small.run("sync", "flush").exit_code == 0, "it goes on when there is room", seconds=90)
    assert small.ssh("cat /workspace/proj/kept.txt").stdout == "v2, which has to replace v1\n"
    sums = small.ssh("sha256sum < /workspace/proj/model.bin").stdout.split()[0]
    mine = subprocess.run(["sha256sum", str(small.folder / "model.bin")], capture_output=True, text=True, check=True)
    assert sums == mine.stdout.split()[0]


def test_a_first_synchronisation_that_does_not_fit_says_so(small: World) -> None:
    (small.folder / "model.bin").write_bytes(os.urandom(350_000_000))
    refused = small.run("up", "--yes", "--json")
    assert refused.exit_code in (6, 8), refused
    error = refused.json["error"]
    assert "space" in error["message"].lower(), error
    assert error["hint"]
    (small.folder / "model.bin").unlink()
    again = small.up()
    assert again["status"] == "RUNNING"
    assert small.ssh("cat /workspace/proj/kept.txt").stdout == "v1\n"
