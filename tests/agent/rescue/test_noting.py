"""Whoever ends a pod without asking notes what was installed, and copies nothing that comes back with a command."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from devpod_rp.agent.replay import note as notes
from devpod_rp.agent.rescue.emergency import rescue_now
from devpod_rp.agent.rescue.keepsakes import NoLoss, save_all
from devpod_rp.agent.rescue.noting import Noting
from devpod_rp.guard import rules
from tests.agent.containers import Container

HUB = "/root/.cache/huggingface/hub/models--me--tiny"


@pytest.fixture
def pod(tmp_path):
    container = Container(tmp_path)
    container.write("/usr/lib/node_modules/old/package.json", "{}")
    container.boots()
    container.write("/usr/lib/node_modules/tool/package.json", '{"version": "1.2.3"}')
    container.write(f"{HUB}/blobs/abc", "w" * 1000)
    container.write(f"{HUB}/refs/main", "abc")
    return container


@pytest.fixture
def noting():
    return Noting.from_wire(json.loads(json.dumps(rules.noting("proj", rules.builtin()))))


def no_loss():
    return NoLoss(rules.no_loss(rules.builtin()))


def clone(pod):
    """A clean clone of a repository on the volume."""
    origin, seed, target = (str(pod.path(each)) for each in ("/workspace/origin.git", "/workspace/seed", "/root/proj"))
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (
        ["git", "init", "-q", "--bare", "-b", "main", origin],
        ["git", "init", "-q", "-b", "main", seed],
        ["git", "-C", seed, *who, "commit", "-q", "--allow-empty", "-m", "one"],
        ["git", "-C", seed, "push", "-q", origin, "main"],
        ["git", "clone", "-q", origin, target],
        ["git", "-C", target, "remote", "set-url", "origin", "/workspace/origin.git"],
    ):
        subprocess.run(command, check=True)


def noted(pod):
    found = notes.read(notes.location(str(pod.path("/workspace")), "proj"))
    return {(each.kind, each.name): each for each in found.found}


def test_a_pod_that_stops_itself_notes_packages_clones_and_downloads_and_saves_only_work(pod, noting):
    clone(pod)
    pod.write("/root/work.py", "print()")
    saved = save_all("/workspace", no_loss(), noting=noting, root=str(pod.root), proc=pod.proc)
    assert saved.files == 1
    found = noted(pod)
    assert set(found) == {("npm", "tool"), ("git", "/root/proj"), ("huggingface", "me/tiny")}
    model = found[("huggingface", "me/tiny")]
    assert (model.size, model.mark) == (1003, HUB)
    assert model.how == f"hf download me/tiny --cache-dir {os.path.dirname(HUB)}"


def test_a_pod_that_the_market_ends_notes_what_it_saw_and_keeps_what_it_had_no_time_to_look_for(pod, noting):
    clone(pod)
    save_all("/workspace", no_loss(), noting=noting, root=str(pod.root), proc=pod.proc)
    pod.write("/usr/lib/node_modules/later/package.json", '{"version": "4"}')
    rescue_now("/workspace", no_loss(), noting=noting, root=str(pod.root), proc=pod.proc)
    assert {("npm", "later"), ("npm", "tool"), ("git", "/root/proj")} <= set(noted(pod))


def test_a_note_that_cannot_be_written_holds_no_rescue_up(pod, noting, capsys):
    pod.write("/workspace/.devpod/replay/proj.json", "damaged")
    pod.write("/root/work.py", "print()")
    assert save_all("/workspace", no_loss(), noting=noting, root=str(pod.root), proc=pod.proc).files == 1
    assert "could not be noted" in capsys.readouterr().err
    assert pod.path("/workspace/.devpod/replay/proj.json").read_text() == "damaged"


def test_names_from_the_disk_stay_words_in_a_command(pod, noting):
    pod.write("/root/.cache/huggingface/hub/models--a--$(reboot)/blobs/x", "w")
    save_all("/workspace", no_loss(), noting=noting, root=str(pod.root), proc=pod.proc)
    assert "'$(reboot)'" in noted(pod)[("huggingface", "a/$(reboot)")].how
