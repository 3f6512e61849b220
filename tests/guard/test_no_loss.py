"""What the pod rescues alone is what the guard would have named: both judge every path alike."""

from __future__ import annotations

import json

import pytest

from devpod_rp.agent.rescue.keepsakes import NoLoss
from devpod_rp.guard import rules
from devpod_rp.guard.classify import Found, judge

PATHS = [
    "/root/precious.txt",
    "/root/model.safetensors",
    "/root/.bash_history",
    "/root/.bashrc",
    "/root/.cache/pip/http/ab",
    "/root/.cache/huggingface/hub/models--a--b/blobs/c",
    "/root/.vscode-server/bin/abc/node",
    "/root/.vscode-server/extensions/x/package.json",
    "/root/project/__pycache__/a.cpython-311.pyc",
    "/home/me/notes.md",
    "/home/me/.ssh/id_ed25519",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/rp_environment",
    "/etc/cron.d/mine",
    "/tmp/x",
    "/tmp/results.csv",
    "/var/log/syslog",
    "/var/lib/dpkg/status",
    "/var/lib/apt/lists/a",
    "/usr/local/lib/python3.11/dist-packages/numpy/__init__.py",
    "/opt/conda/pkgs/cache/a.json",
    "/opt/tool/run",
    "/data/x\ny.bin",
    "/data/\udcff.bin",
]


@pytest.mark.parametrize("after_boot", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_pod_and_guard_agree(path: str, after_boot: bool) -> None:
    table = rules.builtin()
    in_pod = NoLoss(json.loads(json.dumps(rules.no_loss(table))))
    at_risk = judge([Found(path, 1, after_boot=after_boot)], table, "/workspace").at_risk
    assert in_pod.covers(path, after_boot) is (not at_risk)


@pytest.mark.parametrize("path", PATHS)
def test_pod_and_guard_agree_on_what_the_user_calls_precious_or_ignores(path: str) -> None:
    table = rules.of_spec(
        {"guard": {"precious": ["~/.bash_history", "~/.cache/pip/**"], "ignore": ["/data/**", "/tmp/x"]}}
    )
    in_pod = NoLoss(json.loads(json.dumps(rules.no_loss(table))))
    at_risk = judge([Found(path, 1)], table, "/workspace").at_risk
    assert in_pod.covers(path, False) is (not at_risk)


def test_a_pod_without_rules_saves_everything() -> None:
    assert not NoLoss([]).covers("/root/.bash_history", changed_after_boot=False)
    assert not NoLoss([[]]).covers("/root/.bash_history", changed_after_boot=False)


KEPT = [
    "/var/lib/dpkg/status",
    "/var/lib/apt/extended_states",
    "/etc/alternatives/editor",
    "/opt/venv/lib/python3.11/site-packages/a/__pycache__/b.cpython-311.pyc",
    "/root/.bash_history",
    "/root/.local/share/uv/python/cpython-3.12/bin/python3",
    "/root/notes.md",
]
LEFT_OUT = [
    "/var/lib/apt/lists/a",
    "/var/cache/apt/archives/a.deb",
    "/root/.cache/pip/http/ab",
    "/root/.cache/huggingface/hub/models--a--b/blobs/c",
    "/run/sshd/x",
    "/run/a.pid",
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/resolv.conf",
]


@pytest.mark.parametrize("path", KEPT)
def test_a_kept_disk_has_what_the_machine_is_made_of(path: str) -> None:
    assert not NoLoss(rules.discarded(rules.builtin())).covers(path, False)


@pytest.mark.parametrize("path", LEFT_OUT)
def test_a_kept_disk_is_without_caches_and_what_each_start_makes(path: str) -> None:
    assert NoLoss(rules.discarded(rules.builtin())).covers(path, False)


def test_precious_and_ignored_paths_count_for_a_kept_disk() -> None:
    own = rules.of_spec({"guard": {"precious": ["~/.cache/mine/**", "~/.cache/pip/**"], "ignore": ["/scratch/**"]}})
    discard = NoLoss(rules.discarded(own))
    assert not discard.covers("/root/.cache/pip/x", False)
    assert discard.covers("/scratch/x", False)
