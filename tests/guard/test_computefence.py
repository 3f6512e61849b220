"""Seven ways in which a check for ephemeral storage can fail its user, each tried here and not repeated."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from devpod_rp import guard
from devpod_rp.agent.files.fitting import room
from devpod_rp.cli.app import run
from tests.agent.containers import OVERLAY_ROOT, Container
from tests.guard.links import DirectLink

OTHER_VOLUME = "31 20 254:17 /vol /workspace-old rw - ext4 /dev/vdc rw"


@pytest.fixture
def pod(tmp_path):
    container = Container(tmp_path)
    container.boots()
    return container


def inspect(pod, volume_path="/workspace"):
    return guard.inspect(DirectLink(pod), volume_path=volume_path)


def at_risk(pod, volume_path="/workspace"):
    return {risk.path for risk in inspect(pod, volume_path).sole_copies}


def test_finding_something_and_ending_with_success(pod):
    """A script must be able to stop at what was found: exit code 7, by `stop` always and by `check` if asked.

    The commands themselves are run in tests/end_to_end/test_never_silently_lost.py.
    """
    from devpod_rp.errors import ExitCode, WouldLoseDataError
    from devpod_rp.guard import GuardBlind, RescueRefused

    pod.write("/root/ckpt/step-1.pt")
    assert not inspect(pod).safe_to_stop
    assert {each.exit_code for each in (WouldLoseDataError, GuardBlind, RescueRefused)} == {ExitCode.WOULD_LOSE_DATA}
    assert ExitCode.WOULD_LOSE_DATA == 7


def test_taking_a_directory_called_workspace_for_a_volume(tmp_path):
    """Only a mount outlives the container; that a path exists says nothing."""
    pod = Container(tmp_path, [OVERLAY_ROOT])
    pod.boots()
    pod.write("/workspace/ckpt.pt")
    report = inspect(pod)
    assert [risk.path for risk in report.sole_copies] == ["/workspace/ckpt.pt"]
    assert report.volume_missing
    with pytest.raises(guard.RescueRefused):
        guard.rescue(DirectLink(pod), ["/workspace/ckpt.pt"], volume_path="/workspace")


@pytest.mark.parametrize(
    "folder", ["/home/x", "/root", "/mnt", "/data", "/scratch", "/opt", "/srv", "/var/lib/x", "/x"]
)
def test_calling_a_path_persistent_for_its_name(pod, folder):
    """No prefix is persistent by itself, not even when the environment says so; what is mounted there decides."""
    pod.write(f"{folder}/ckpt/step-1.pt")
    assert at_risk(pod) == at_risk(pod, folder) == {f"{folder}/ckpt/step-1.pt"}
    pod.mounted([OVERLAY_ROOT, f"40 20 254:18 /vol {folder} rw - ext4 /dev/vdd rw"])
    assert at_risk(pod, folder) == set()


@pytest.mark.parametrize(
    "words",
    [
        ["stop", "--resuce"],
        ["stop", "--rescue=yes"],
        ["stop", "--dry-run"],
        ["check", "--output-dir=/root/ckpt"],
        ["check", "--volum"],
        ["rescue", "--downlaod", "/x"],
        ["delete", "--forse"],
    ],
)
def test_ignoring_an_option_that_is_mistyped(words, monkeypatch, tmp_path, capsys):
    """An option that is not understood was meant: nothing is done, and the exit code is 2."""
    monkeypatch.setenv("DEVPOD_RP_HOME", str(tmp_path))
    assert run([*words, "demo"]) == 2
    assert words[1].split("=")[0] in capsys.readouterr().err


def test_comparing_paths_as_text(pod):
    """``/workspace-old`` is not in ``/workspace``, though its name begins alike."""
    pod.write("/workspace-old/hf/model.safetensors")
    assert at_risk(pod) == {"/workspace-old/hf/model.safetensors"}
    pod.mounted([OVERLAY_ROOT, OTHER_VOLUME])
    assert at_risk(pod, "/workspace-old") == set()
    assert at_risk(pod, "/workspace") == {"/workspace-old/hf/model.safetensors"}, "a mount nobody vouches for"


@pytest.mark.parametrize(
    "path",
    [
        "/root/.cache/huggingface/hub/models--a--b/blobs/c",
        "/root/.cache/torch/hub/checkpoints/resnet.pth",
        "/root/.cache/pip/http/ab",
        "/root/.cache/uv/archive/x",
        "/opt/conda/envs/mine/lib/python3.11/site-packages/x.py",
        "/root/wandb/run-1/files/output.log",
        "/root/outputs/2026/results.csv",
        "/root/.vscode-server/extensions/x/package.json",
        "/root/.local/share/jupyter/kernels/mine/kernel.json",
    ],
)
def test_looking_at_one_cache_and_at_nothing_else(pod, path):
    """Everything on the disk is accounted for: at risk, brought back by a command, or left out for a stated reason."""
    pod.write(path)
    report = inspect(pod)
    named = [risk.path for risk in report.at_risk] + [one.how for one in report.rebuildable]
    assert named or [rule.why for rule in report.left_out], path
    assert all(one.how for one in report.rebuildable)
    assert all(rule.why and rule.files for rule in report.left_out)


def test_reading_the_cluster_s_free_space_as_the_volume_s(tmp_path):
    """A network volume shows the whole cluster: its own size, less what is on it, is the room there is."""
    (tmp_path / "data").write_bytes(os.urandom(2_000_000))
    cluster = os.statvfs(tmp_path)
    assert room(str(tmp_path), 2_500_000) <= 500_000 < cluster.f_bavail * cluster.f_frsize


def test_filling_a_volume_is_never_taken_for_saving(pod):
    pod.write("/root/large.pt", os.urandom(3_000_000))
    saved = guard.rescue(DirectLink(pod), ["/root/large.pt"], volume_path="/workspace", volume_bytes=2_000_000)
    assert not saved.complete
    assert saved.no_room == {"/root/large.pt"}
    assert at_risk(pod) == {"/root/large.pt"}


def test_telling_a_third_party_and_inventing_savings(pod, tmp_path):
    """A look talks to nobody: the process opens no socket at all, and its report speaks of no money."""
    pod.write("/root/model.pt")
    program = """
import json, sys
from pathlib import Path
opened = []
sys.addaudithook(lambda event, arguments: opened.append(event) if event.startswith("socket.") else None)
from devpod_rp import guard
from tests.agent.containers import Container
from tests.guard.links import DirectLink
pod = Container.__new__(Container)
pod.root, pod.proc = Path(sys.argv[1]), Path(sys.argv[2])
report = guard.inspect(DirectLink(pod), volume_path="/workspace")
print(json.dumps({"opened": opened, "report": report.as_json()}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(pod.root), str(pod.proc)], capture_output=True, text=True, check=True
    )
    answer = json.loads(done.stdout)
    assert [risk["path"] for risk in answer["report"]["at_risk"]] == ["/root/model.pt"]
    assert answer["opened"] == []
    assert "$" not in json.dumps(answer["report"])
