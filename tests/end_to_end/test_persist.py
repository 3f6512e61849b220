"""After a wipe a pod feels as it was left: what tools keep in the home lives on the volume."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.end_to_end.conftest import World

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(600)]

_LEFT = r"""
set -e
cd
git config --global user.name 'A "quoted" name'
printf 'echo one\necho two\n' >> .bash_history
mkdir -p .vscode-server/bin/abc .config/gh .config/mytool .jupyter/lab
printf '#!/bin/sh\necho server\n' > .vscode-server/bin/abc/code-server
chmod 755 .vscode-server/bin/abc/code-server
head -c 3000000 /dev/urandom > .vscode-server/bin/abc/node
ln -s abc .vscode-server/bin/latest
printf 'token\n' > .config/gh/hosts.yml
chmod 600 .config/gh/hosts.yml
printf 'theme\n' > .jupyter/lab/theme
printf 'mine\n' > .config/mytool/state
printf 'gone\n' > .nothing-keeps-this
"""
_KEPT = ".gitconfig .bash_history .vscode-server .config/gh .config/mytool .jupyter"
_LOOK = f"cd && find -L {_KEPT} -printf '%p %y %m %s %T@\\n' | sort && find -L {_KEPT} -type f | sort | xargs sha256sum"


@pytest.fixture(scope="module")
def pod(world: World) -> Iterator[World]:
    (world.folder / "devpod-rp.toml").write_text('[persist]\npaths = ["~/.config/mytool/"]\n')
    world.up()
    left = world.ssh(_LEFT)
    assert left.exit_code == 0, left.stderr
    yield world
    world.run("delete", "--yes", "--force")


def test_what_is_kept_is_not_at_risk_and_what_is_not_is(pod: World) -> None:
    report = pod.run("check", "--json").json
    risks = [risk["path"] for risk in report["at_risk"]]
    assert "/root/.nothing-keeps-this" in risks
    for name in (".gitconfig", ".bash_history", ".vscode-server", ".config", ".jupyter"):
        assert not [path for path in risks if path.startswith(f"/root/{name}")]


def test_caches_are_on_the_volume_in_every_session(pod: World) -> None:
    said = pod.ssh('echo "$HF_HOME $TORCH_HOME $PIP_CACHE_DIR $UV_CACHE_DIR"').stdout.split()
    assert said == [f"/workspace/.devpod/cache/{name}" for name in ("huggingface", "torch", "pip", "uv")]


def test_stop_and_start_leave_everything_as_it_was(pod: World) -> None:
    before = pod.ssh(_LOOK)
    assert before.exit_code == 0, before.stderr
    assert before.stdout.count("\n") > 15
    known = pod.known_hosts()
    assert pod.run("stop", "--force", "--json").exit_code == 0
    pod.up()
    assert pod.known_hosts() == known, "it is the same server to ssh"
    assert pod.ssh("test -e ~/.nothing-keeps-this").exit_code == 1, "the container disk was wiped"
    assert pod.ssh(_LOOK).stdout == before.stdout
    assert pod.ssh("git config --global user.name").stdout == 'A "quoted" name\n'
    assert pod.ssh("~/.vscode-server/bin/latest/code-server").stdout == "server\n"


def test_a_freshly_started_pod_has_nothing_at_risk(pod: World) -> None:
    assert pod.run("check", "--json").json["at_risk"] == []


def test_host_keys_are_on_the_volume_for_root_alone(pod: World) -> None:
    listed = pod.ssh("cd /workspace/.devpod_rp/host-keys && find . -printf '%m %U %y\\n' | sort -u").stdout
    assert listed == "600 0 f\n700 0 d\n"
    assert pod.ssh("cd /workspace/.devpod_rp/host-keys/pod && sha256sum -c --status SHA256SUMS").exit_code == 0


def test_damaged_host_keys_are_made_anew_and_that_is_said(pod: World) -> None:
    known = pod.known_hosts()
    damage = "for key in /workspace/.devpod_rp/host-keys/pod/*_key; do echo gone > $key; done"
    assert pod.ssh(damage).exit_code == 0
    assert pod.run("stop", "--force", "--json").exit_code == 0
    again = pod.run("up", "--yes", "--json")
    assert again.exit_code == 0, again.stderr
    assert "host keys on the volume were damaged" in again.stderr
    assert pod.known_hosts() != known
    assert pod.ssh("echo in").stdout == "in\n", "without a question"


def test_a_new_path_is_kept_from_the_next_up_on_without_a_restart(pod: World) -> None:
    assert pod.ssh("mkdir -p ~/.other && echo other > ~/.other/state").exit_code == 0
    (pod.folder / "devpod-rp.toml").write_text('[persist]\npaths = ["~/.config/mytool/", "~/.other/"]\n')
    pod.up()
    assert pod.ssh("readlink ~/.other").stdout == "/workspace/.devpod/persist/proj/home/.other\n"
    assert pod.ssh("cat ~/.other/state").stdout == "other\n"


def test_a_start_file_that_prints_is_said(pod: World) -> None:
    assert pod.ssh("sed -i '1i echo Welcome back' ~/.bashrc").exit_code == 0
    again = pod.run("up", "--yes")
    assert again.exit_code == 0, again.stderr
    assert "prints 'Welcome back' in every session" in again.stderr
    assert pod.ssh("sed -i 1d ~/.bashrc").exit_code == 0
    assert "in every session" not in pod.run("up", "--yes").stderr


def test_a_path_that_cannot_be_kept_is_refused_with_its_line(pod: World) -> None:
    (pod.folder / "devpod-rp.toml").write_text('[persist]\npaths = [\n  "config/x",\n]\n')
    refused = pod.run("up", "--yes", "--json")
    assert refused.exit_code == 3
    assert "devpod-rp.toml" in refused.json["error"]["message"]
    assert "must begin with / or ~/" in refused.json["error"]["message"]
