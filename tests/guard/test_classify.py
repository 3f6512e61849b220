from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devpod_rp.guard import rules as rule_tables
from devpod_rp.guard.classify import Found, judge

RULES = rule_tables.builtin()


def verdict(*found, volume="/workspace"):
    return judge([Found(one, 10) if isinstance(one, str) else one for one in found], RULES, volume)


def at_risk(*found, volume="/workspace"):
    return [risk.path for risk in verdict(*found, volume=volume).at_risk]


@pytest.mark.parametrize(
    "path",
    [
        "/run/sshd.pid",
        "/run/nginx.pid",
        "/run/lock/x",
        "/run/utmp",
        "/var/log/wtmp",
        "/var/log/lastlog",
        "/var/log/btmp",
        "/var/log/nginx/access.log",
        "/var/log/auth.log",
        "/var/log/syslog",
        "/var/log/syslog.1",
        "/var/log/dpkg.log",
        "/var/log/apt/history.log",
        "/jupyter.log",
        "/etc/rp_environment",
        "/etc/resolv.conf",
        "/etc/ssh/ssh_host_ed25519_key",
        "/etc/ssh/ssh_host_rsa_key.pub",
        "/root/.ssh/authorized_keys",
        "/var/lib/apt/lists/deb.debian.org_dists",
        "/var/cache/apt/pkgcache.bin",
        "/var/lib/dpkg/status",
        "/etc/ld.so.cache",
        "/root/.cache/pip/http-v2/a/b",
        "/home/ann/.cache/uv/archive-v0/x",
        "/usr/lib/python3/dist-packages/a/__pycache__/b.cpython-312.pyc",
        "/root/.local/share/jupyter/runtime/kernel-1.json",
        "/root/.vscode-server/bin/0123/node",
        "/root/.vscode-server/cli/servers/Stable-1/log.txt",
        "/root/.vscode-server/code-0123abc",
        "/root/.vscode-server/.0123abc.log",
        "/root/.vscode-server/data/logs/1/remoteagent.log",
        "/root/.vscode-server/extensions/ms-python.python/x.js",
        "/root/.cursor-server/data/machineid",
        "/run/devpod_rp/baseline.json",
    ],
)
def test_what_the_image_and_known_tools_write_by_themselves_is_noise(path):
    assert at_risk(path) == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/root/precious.txt", "data"),
        ("/root/train.py", "code"),
        ("/root/Makefile", "code"),
        ("/root/project/.git/objects/ab/cdef", "code"),
        ("/home/ann/Untitled.ipynb", "notebook"),
        ("/root/out/model.safetensors", "checkpoint"),
        ("/root/out/checkpoint-500/trainer_state", "checkpoint"),
        ("/tmp/results.csv", "data"),
        ("/root/.bashrc", "config"),
        ("/root/.ssh/id_ed25519", "config"),
        ("/etc/nginx/nginx.conf", "config"),
        ("/root/.config/gh/hosts", "config"),
        ("/opt/thing", "other"),
        ("/var/log/mytraining.log", "data"),
        ("/var/lib/postgresql/15/main/base/1/2", "other"),
        ("/run/mystate", "other"),
        ("/root/.cache/mytool/result", "other"),
        ("/root/.cache/huggingface/token", "other"),
        ("/root/.cache/torch/hub/checkpoints/my_finetune.pth", "checkpoint"),
        ("/root/.vscode-server/data/User/History/1/entries.json", "data"),
        ("/root/.vscode-server/data/Machine/settings.json", "data"),
        ("/root/.vscode-server/notes", "other"),
        ("/root/project/__pycache__/notes.txt", "data"),
        ("/root/run/sshd.pid", "other"),
        ("/nohup.out", "data"),
        ("/root/.ipython/profile_default/db/autorestore/results", "other"),
        ("/tmp/vscode-notes.md", "data"),
        ("/srv/etc/ssh/ssh_host_ed25519_key", "other"),
    ],
)
def test_everything_else_is_at_risk_under_its_kind(path, kind):
    [risk] = verdict(path).at_risk
    assert (risk.path, risk.kind, risk.sole_copy) == (path, kind, True)
    assert risk.reason


def test_history_is_a_convenience_and_no_work():
    found = verdict("/root/.bash_history", "/home/ann/.python_history")
    assert found.at_risk == ()
    assert [(one.rule, one.files) for one in found.left_out] == [("shell and interpreter history", 2)]


def test_injected_keys_are_noise_only_as_the_boot_left_them():
    keys = "/root/.ssh/authorized_keys"
    assert at_risk(Found(keys, 10, after_boot=False)) == []
    assert at_risk(Found(keys, 10, after_boot=True)) == [keys]


def test_a_downloaded_model_comes_back_with_a_command():
    hub = "/root/.cache/huggingface/hub/models--meta-llama--Llama-3.1-8B"
    found = verdict(hub + "/blobs/abc", hub + "/snapshots/1/config.json", hub + "/refs/main")
    assert found.at_risk == ()
    [model] = found.rebuildable
    assert (model.kind, model.name) == ("huggingface", "meta-llama/Llama-3.1-8B")
    assert model.how == "hf download meta-llama/Llama-3.1-8B --cache-dir /root/.cache/huggingface/hub"
    assert (model.mark, model.size) == (hub, 30)


def test_the_most_precious_comes_first_then_the_largest():
    found = [
        Found("/root/z.conf", 900),
        Found("/root/data.csv", 1000),
        Found("/root/small.py", 1),
        Found("/root/big.py", 100),
        Found("/root/m.pt", 5000),
        Found("/root/n.ipynb", 7),
        Found("/opt/what", 99999),
    ]
    names = ["big.py", "small.py", "n.ipynb", "m.pt", "data.csv", "z.conf", "what"]
    assert [path.rpartition("/")[2] for path in at_risk(*found)] == names


def test_a_file_with_several_names_is_one_risk_with_all_of_them():
    [risk] = verdict(Found("/root/b", 10, inode="1:2"), Found("/root/a", 10, inode="1:2")).at_risk
    assert (risk.path, risk.other_names) == ("/root/a", ("/root/b",))


def test_a_second_name_in_a_cache_does_not_make_a_file_noise():
    """uv links from its cache into environments; a user may link the other way round."""
    cache = Found("/root/.cache/uv/x", 10, inode="1:2")
    [risk] = verdict(cache, Found("/root/work/x", 10, inode="1:2")).at_risk
    assert (risk.path, risk.other_names) == ("/root/work/x", ())


@pytest.mark.parametrize(
    ("target", "volume", "sole"),
    [
        ("/workspace/data", "/workspace", False),
        ("/workspace", "/workspace", False),
        ("/workspace-old/data", "/workspace", True),
        ("/workspace/../root/data", "/workspace", True),
        ("/root/data", "/workspace", True),
        ("../workspace/data", "/workspace", True),
        ("/workspace/data", None, True),
    ],
)
def test_only_a_link_into_the_volume_loses_no_content(target, volume, sole):
    [risk] = verdict(Found("/root/link", 15, target=target), volume=volume).at_risk
    assert risk.sole_copy is sole


names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..")
)
known = st.sampled_from(["root", "home", "etc", "var", "run", ".cache", "log", "__pycache__", ".ssh", "tmp", "lib"])
paths = st.lists(names | known, min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))


@given(st.lists(paths, unique=True, max_size=20))
def test_every_file_ends_in_exactly_one_place(some):
    found = verdict(*some)
    rebuildable = sum(RULES.rebuildable.match(path) is not None for path in some)
    assert len(found.at_risk) + sum(one.files for one in found.left_out) == len(some) - rebuildable


@given(names)
def test_a_file_in_a_home_that_no_rule_names_is_at_risk(name):
    path = f"/root/work/{name}"
    assert at_risk(path) == [path]
