"""What the keeper is told to be at risk is what the guard would name, and the look runs at the lowest priority."""

from __future__ import annotations

import os
import threading

import pytest

from devpod_rp import guard
from devpod_rp.agent.rescue import stakes
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


@pytest.mark.parametrize("fields", [{"volume": 5}, {"no_loss": [[["(", True]]]}, {"no_loss": 5}])
def test_nonsense_is_refused(pod, fields):
    operation = stakes.operations(str(pod.root), pod.proc)["stakes.look"]
    with pytest.raises(Refusal):
        list(operation(Request({"volume": None, "no_loss": [], **fields}), threading.Event()))
