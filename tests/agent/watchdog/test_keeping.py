"""A pod that stops itself keeps its disk first, and saves what is nowhere else if it cannot."""

from __future__ import annotations

import fcntl

import pytest

from devpod_rp.agent.watchdog.limits import Limits
from devpod_rp.agent.watchdog.program import Orders, save
from devpod_rp.agent.wire import Refusal
from tests.agent.disk.kept import DISCARD, IMAGE, Pod

KEEP = {
    "volume": "/workspace", "environment": "proj", "image": IMAGE, "size_bytes": None, "discard": DISCARD,
    "everything": True, "below": [], "venvs": False,
}  # fmt: skip


@pytest.fixture
def pod(tmp_path):
    made = Pod(tmp_path / "pod")
    made.census()
    made.write("/root/work.py", "work")
    return made


def saved(pod, said):
    orders = Orders("http://cloud", "/workspace", Limits(), [], keeper_leads=False, keep=KEEP)
    return save(orders, root=str(pod.root), proc=pod.proc, tell=said.append)


def test_what_is_kept_need_not_be_rescued(pod):
    said = []
    assert saved(pod, said).files == 0
    assert [each["files"] for each in pod.archives()] == [1]
    assert said == []


def test_a_disk_that_does_not_fit_is_told_and_its_sole_copies_are_rescued(pod, monkeypatch):
    pod.write("/root/large", "x" * 100)
    monkeypatch.setattr("devpod_rp.agent.archive.chunks.Packer._put", _full)
    said = []
    assert saved(pod, said).files == 2
    assert pod.archives() == []
    assert ["no room" in line for line in said] == [True]


def _full(*_arguments):
    raise OSError(28, "full")


def test_while_somebody_else_keeps_it_the_pod_waits(pod):
    saved(pod, [])
    pod.write("/root/work.py", "more")
    with open(pod.store() / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Refusal) as refused:
            saved(pod, [])
    assert refused.value.code == "busy"
