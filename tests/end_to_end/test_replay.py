"""Package replay: what was installed in one container is offered in the next, and comes back with real tools."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.end_to_end.conftest import World, eventually
from tests.end_to_end.terminal import ENTER, Terminal

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(900)]

# A wheel that no index has, an editable project on the volume, a clone, an environment, and a Debian package.
INSTALL = r"""
set -eu
export DEBIAN_FRONTEND=noninteractive PIP_ROOT_USER_ACTION=ignore
apt-get -qq update > /dev/null; apt-get -qq install -y --no-install-recommends tree > /dev/null 2>&1
python3 -m venv /root/env; /root/env/bin/pip install -q --no-cache-dir six
mkdir -p /workspace/lib/mylib /tmp/wheels; echo 'x = 42' > /workspace/lib/mylib/__init__.py
cat > /workspace/lib/pyproject.toml <<'END'
[project]
name = "mylib"
version = "1"
END
/root/env/bin/pip install -q -e /workspace/lib
cd /tmp/wheels; python3 - <<'END'
import base64, hashlib, zipfile
info, record = "ghost-1.0.dist-info", ""
with zipfile.ZipFile("ghost-1.0-py3-none-any.whl", "w") as wheel:
    for name, text in (
        ("ghost.py", ""),
        (f"{info}/METADATA", "Metadata-Version: 2.1\nName: ghost\nVersion: 1.0\n"),
        (f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
    ):
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        wheel.writestr(name, text)
        record += f"{name},sha256={digest},{len(text)}\n"
    wheel.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")
END
/root/env/bin/pip install -q --no-index --find-links /tmp/wheels ghost; rm -r /tmp/wheels
git init -q --bare -b main /workspace/origin.git; git clone -q /workspace/origin.git /dev/shm/seed 2> /dev/null
cd /dev/shm/seed; git checkout -qb main; echo 1 > tool.py; git add -A
git -c user.name=a -c user.email=a@b.c commit -qm one; git push -q origin main; cd /; rm -rf /dev/shm/seed
git clone -q /workspace/origin.git /root/tool
"""
LOOK = (
    "tree --version > /dev/null && cd / && /root/env/bin/python -c 'import six, mylib; print(mylib.x)'"
    " && cat /root/tool/tool.py"
)


@pytest.fixture(scope="module")
def pod(world: World) -> Iterator[World]:
    world.up()
    made = world.ssh(INSTALL)
    assert made.exit_code == 0, made.stdout + made.stderr
    yield world
    world.run("delete", "--yes", "--force")


def test_what_was_installed_is_noted_and_no_loss(pod: World) -> None:
    report = pod.run("check", "--json").json
    assert report["safe_to_stop"], report["at_risk"]
    listed = {(each["kind"], each["name"].partition("=")[0]): each for each in report["rebuildable"]}
    assert {("apt", "tree"), ("venv", "/root/env"), ("pip", "six"), ("pip", "mylib"), ("git", "/root/tool")} <= set(
        listed
    )
    assert "-e /workspace/lib" in listed[("pip", "mylib")]["how"]
    noted = json.loads(pod.ssh("cat /workspace/.devpod/replay/proj.json").stdout)
    assert {each["name"].partition("=")[0] for each in noted["found"]} >= {
        "tree",
        "six",
        "mylib",
        "ghost",
        "/root/tool",
    }


def test_the_note_is_nothing_that_a_delete_would_lose(pod: World) -> None:
    report = pod.run("check", "--volume", "--json").json
    assert [each["path"] for each in report["at_risk"] if "replay" in each["path"]] == []


def test_without_a_terminal_it_is_offered_and_not_done(pod: World) -> None:
    stopped = pod.run("stop", "--json")
    assert stopped.exit_code == 0, stopped.stdout
    offered = pod.up()["replay"]
    assert offered["state"] == "offered"
    assert {"tree", "/root/env"} <= {each["name"] for each in offered["offered"]}
    assert pod.ssh("test -e /root/env").exit_code == 1
    assert "up --replay" in pod.run("up", "--yes").stdout


def test_what_is_not_brought_back_is_carried_over_the_next_stop(pod: World) -> None:
    assert pod.run("stop", "--json").exit_code == 0
    assert "tree" in {each["name"] for each in pod.up()["replay"]["offered"]}


def test_at_a_terminal_it_shows_the_commands_and_asks(pod: World) -> None:
    with Terminal(pod, "up") as terminal:
        terminal.sees("apt-get install -y tree", "python3", "Bring it back")
        terminal.types(ENTER)
        terminal.sees("Brought back", "Did not come back: pip ghost")
        assert terminal.ends() == 1, "one thing did not come back"
    assert pod.ssh(LOOK).stdout == "42\n1\n"
    assert "No matching distribution found for ghost" in pod.ssh("cat /run/devpod_rp/replay.log").stdout


def test_it_is_not_asked_again_in_this_container_unless_told_to(pod: World) -> None:
    again = pod.run("up", "--yes", "--json")
    assert again.exit_code == 0
    assert [each["name"] for each in again.json["replay"]["offered"]] == ["ghost==1.0"]
    told = pod.run("up", "--yes", "--json", "--replay")
    assert told.exit_code == 1
    assert [each["name"] for each in told.json["replay"]["failed"]] == ["pip ghost==1.0"]
    assert pod.run("check", "--json").json["safe_to_stop"]


def test_what_was_uninstalled_does_not_come_back_and_the_configuration_can_want_it_always(pod: World) -> None:
    assert pod.ssh("/root/env/bin/pip uninstall -qy six").exit_code == 0
    assert pod.run("stop", "--json").exit_code == 0
    (pod.folder / "devpod-rp.toml").write_text("[persist]\nreplay = true\n")
    up = pod.run("up", "--yes", "--json")
    assert up.exit_code == 1, "ghost cannot be had"
    assert "apt tree" in up.json["replay"]["done"]
    assert pod.ssh("tree --version && test -x /root/env/bin/python").exit_code == 0
    assert pod.ssh("/root/env/bin/python -c 'import six'").exit_code == 1


def test_the_keeper_notes_what_is_installed_while_nobody_looks(pod: World) -> None:
    assert pod.ssh("/root/env/bin/pip install -q --no-cache-dir tabulate").exit_code == 0
    # The keeper looks when its link is new.
    pod.kill_agents()
    eventually(
        lambda: "tabulate" in pod.ssh("cat /workspace/.devpod/replay/proj.json").stdout, "it is noted", seconds=90
    )
