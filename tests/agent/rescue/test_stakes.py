"""What the keeper is told to be at risk is what the guard would name, and the look runs at the lowest priority."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import threading

import pytest

from devpod_rp import guard
from devpod_rp.agent.exposure import manifest
from devpod_rp.agent.files.memory import recall
from devpod_rp.agent.rescue import emergency, keepsakes, proved, stakes
from devpod_rp.agent.wire import Refusal, Request
from devpod_rp.guard import rules
from tests.agent.containers import Container
from tests.guard.links import DirectLink


@pytest.fixture
def pod(tmp_path):
    container = Container(tmp_path)
    container.boots()
    return container


def look(pod, **fields):
    asked = {"volume": "/workspace", "no_loss": rules.no_loss(rules.builtin()), **fields}
    found = []

    def run():
        operation = stakes.operations(str(pod.root), pod.proc)["stakes.look"]
        found.extend(operation(Request({"id": 1, "op": "stakes.look", **asked}), threading.Event()))
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    [(header, _), nice] = found
    assert nice == 19
    return header


def test_it_counts_what_the_guard_names(pod):
    assert look(pod)["files"] == 0
    pod.write("/root/model.pt", b"x" * 5000)
    os.link(pod.path("/root/model.pt"), pod.path("/root/again.pt"))
    pod.write("/root/a.py", "print()")
    pod.write("/root/.cache/pip/http/ab", "noise")
    pod.write("/root/copied.csv", "1,2")
    pod.write("/workspace/copied.csv", "1,2")
    report = guard.inspect(DirectLink(pod), volume_path="/workspace")
    found = look(pod)
    assert (found["files"], found["bytes"]) == (len(report.sole_copies), report.size) == (2, 5007)
    assert found["unseen"] == 0
    assert 0 <= found["cpu_seconds"] < 10


def install(pod, files=5):
    site = "/usr/lib/python3.12/site-packages"
    record = "lib-1.0.dist-info/RECORD,,\n"
    for number in range(files):
        content = f"x = {number}\n".encode()
        pod.write(f"{site}/lib/{number}.py", content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record += f"lib/{number}.py,sha256={digest},{len(content)}\n"
    pod.write(f"{site}/lib-1.0.dist-info/RECORD", record)


def test_a_second_look_reads_only_what_changed_and_says_the_same(pod):
    install(pod)
    for number in range(4):
        pod.write(f"/root/{number}.csv", f"{number},2")
        pod.write(f"/workspace/{number}.csv", f"{number},2")
    subprocess.run(["git", "init", "-q", pod.path("/root/proj")], check=True)
    pod.write("/root/proj/a.py", "print()")
    first = look(pod)
    assert first["read"] >= 5 + 8 + 1
    second = look(pod)
    assert second["read"] == 0
    assert (second["files"], second["bytes"]) == (first["files"], first["bytes"])
    pod.write("/root/2.csv", "8,2")
    third = look(pod)
    assert third["read"] == 1
    assert third["files"] == first["files"] + 1


def test_the_guard_itself_remembers_nothing(pod):
    pod.write("/root/a.csv", "1,2")
    pod.write("/workspace/a.csv", "1,2")
    assert look(pod)["files"] == 0
    assert recall("nothing", lambda: 1) == 1
    assert recall("nothing", lambda: 2) == 2


def test_what_is_installed_is_noted_and_left_for_an_emergency(pod):
    install(pod)
    look(pod, noting=rules.noting("proj", rules.builtin()))
    noted = json.loads(pod.path("/workspace/.devpod/replay/proj.json").read_text())
    assert [each["name"] for each in noted["found"]] == ["lib==1.0"]
    site = "/usr/lib/python3.12/site-packages"
    assert f"{site}/lib/0.py" in proved.load(str(pod.root)).packaged
    pod.write(f"{site}/lib/0.py", "mine = 0\n")
    outcome = emergency.rescue_now(
        "/workspace", keepsakes.NoLoss(rules.no_loss(rules.builtin())), root=str(pod.root), proc=pod.proc
    )
    assert outcome.saved == [f"{site}/lib/0.py"], "changed since it was proved"


def test_what_was_seen_at_stake_is_saved_before_the_whole_disk_is_walked(pod):
    pod.write("/root/seen.bin", b"x" * 5000)
    pod.write("/root/gone.bin", b"x")
    look(pod)
    pod.path("/root/gone.bin").unlink()
    pod.write("/root/new.py", "1")
    no_loss = keepsakes.NoLoss(rules.no_loss(rules.builtin()))
    outcome = emergency.rescue_now("/workspace", no_loss, root=str(pod.root), proc=pod.proc)
    assert outcome == (["/root/seen.bin", "/root/new.py"], {})
    [note] = pod.path("/workspace/.devpod/rescue").glob("preempted-*.json")
    assert json.loads(note.read_text())["saved"] == outcome.saved


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.3, 20.0])
def test_however_little_time_there_is_what_is_called_saved_is_in_a_whole_rescue_and_the_rest_is_named(pod, seconds):
    names = [f"/root/{number}.py" for number in range(300)]
    for name in names:
        pod.write(name, name)
    look(pod)
    no_loss = keepsakes.NoLoss(rules.no_loss(rules.builtin()))
    outcome = emergency.rescue_now("/workspace", no_loss, seconds=seconds, root=str(pod.root), proc=pod.proc)
    held = {saved.path for one in manifest.every(str(pod.path("/workspace"))) for saved in one.saved}
    assert set(outcome.saved) == held
    assert held | set(outcome.left) == set(names)
    assert not held & set(outcome.left)
    [note] = pod.path("/workspace/.devpod/rescue").glob("preempted-*.json")
    assert {each["path"] for each in json.loads(note.read_text())["not_saved"]} == set(outcome.left)


@pytest.mark.parametrize("fields", [{"volume": 5}, {"no_loss": [[["(", True]]]}, {"no_loss": 5}])
def test_nonsense_is_refused(pod, fields):
    operation = stakes.operations(str(pod.root), pod.proc)["stakes.look"]
    with pytest.raises(Refusal):
        list(operation(Request({"volume": None, "no_loss": [], **fields}), threading.Event()))
