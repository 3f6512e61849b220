"""A file that was deleted while a process writes to it is a sole copy like any other, and saved like any other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devpod_rp import guard
from devpod_rp.guard.download import download
from devpod_rp.guard.report import Report
from devpod_rp.pod.link import AgentLink
from tests.guard.links import Sandbox, can_make_sandboxes

pytestmark = pytest.mark.slow

# It writes one more line for each line it reads.
WRITER = """
import os, signal, sys
held = open(sys.argv[1], "w")
held.write("precious" * 1000)
held.flush()
os.unlink(sys.argv[1])
open("/workspace/ready", "w").close()
for _ in open("/workspace/more"):
    held.write("more")
    held.flush()
    open("/workspace/done", "w").close()
signal.pause()
"""


@dataclass
class Pod:
    box: Sandbox
    link: AgentLink

    def report(self) -> Report:
        return guard.inspect(self.link, volume_path="/workspace")

    def starts_writing(self, path: str) -> None:
        (self.box.folder / "disk/root/writer.py").write_text(WRITER)
        self.box.run("mkfifo /workspace/more")
        self.box.run(f"setsid python3 /root/writer.py {path} < /dev/null > /dev/null 2>&1 & ")
        self.box.run("while [ ! -e /workspace/ready ]; do sleep 0.05; done; rm /root/writer.py")

    def writes_more(self) -> None:
        self.box.run("echo now > /workspace/more; while [ ! -e /workspace/done ]; do sleep 0.05; done")

    def rescues(self, report: Report) -> guard.Rescue:
        return guard.rescue(self.link, report.paths_to_rescue(), volume_path="/workspace")


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    if not can_make_sandboxes():
        pytest.skip("needs root and namespaces")
    box = Sandbox(tmp_path)
    try:
        with AgentLink.open(box.connection()) as link:
            assert guard.record_baseline(link, volume_path="/workspace")
            yield Pod(box, link)
    finally:
        box.close()


@pytest.mark.parametrize("path", ["/root/only-here.log", "/workspace/only-here.log"])
def test_it_is_a_sole_copy_until_it_is_saved_and_again_when_more_was_written(pod: Pod, path: str) -> None:
    pod.starts_writing(path)
    report = pod.report()
    [risk] = report.sole_copies
    assert risk.path.startswith(f"{path} (deleted; process ")
    assert (risk.size, risk.kind) == (8000, "data")
    assert "still writes to it" in risk.reason
    assert not report.safe_to_stop
    saved = pod.rescues(report)
    assert (saved.files, saved.failed) == (1, {})
    assert pod.box.run(f"cat '{saved.destination}{risk.path}'") == "precious" * 1000
    assert pod.report().safe_to_stop, "it is on the volume now, verified"
    pod.writes_more()
    assert [each.path for each in pod.report().sole_copies] == [risk.path]
    again = pod.rescues(pod.report())
    assert pod.box.run(f"cat '{again.destination}{risk.path}'").endswith("preciousmore")
    assert pod.report().safe_to_stop


def test_it_can_be_brought_here(pod: Pod, tmp_path: Path) -> None:
    pod.starts_writing("/root/only-here.log")
    report = pod.report()
    brought = download(pod.link, report.paths_to_rescue(), tmp_path / "here")
    assert brought.complete
    [name] = report.paths_to_rescue()
    assert (tmp_path / "here" / name.lstrip("/")).read_text() == "precious" * 1000


def test_it_is_restored_under_the_name_that_says_what_it_was(pod: Pod) -> None:
    pod.starts_writing("/root/only-here.log")
    report = pod.report()
    saved = pod.rescues(report)
    writer = report.deleted_but_open[0].pid
    pod.box.run(f"kill {writer}; while [ -e /proc/{writer}/exe ]; do sleep 0.05; done")
    restored = guard.restore(pod.link, [saved.destination])
    assert list(restored.restored) == report.paths_to_rescue()
    assert pod.box.run(f"cat '{report.paths_to_rescue()[0]}'") == "precious" * 1000
    assert pod.report().safe_to_stop


def test_a_file_that_bears_such_a_name_itself_is_that_file(pod: Pod) -> None:
    name = "/root/odd (deleted; process 1, descriptor 1)"
    pod.box.run(f"echo mine > '{name}'")
    report = pod.report()
    assert [each.path for each in report.sole_copies] == [name]
    saved = pod.rescues(report)
    assert pod.box.run(f"cat '{saved.destination}{name}'") == "mine\n"
    assert pod.report().safe_to_stop
