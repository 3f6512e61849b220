"""What runs on a pod is described with what it holds: seen at real processes through the real /proc."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devpod_rp.agent.exposure import dangling
from devpod_rp.agent.machine import container, mounts, work
from tests.agent.containers import OVERLAY_ROOT, VOLUME


@contextmanager
def running(*command: str, folder: Path | None = None, **environ: str) -> Iterator[container.Process]:
    """A real process that says on its standard output when it is ready."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        [found] = [each for each in container.processes() if each.pid == process.pid]
        yield found
    finally:
        process.kill()
        process.communicate()


def python(text: str) -> tuple[str, ...]:
    return (sys.executable, "-c", text + "; print('ready', flush=True); import time; time.sleep(100)")


def test_a_program_is_told_with_its_folder_and_how_long_it_runs(tmp_path):
    with running(*python("sum(range(3_000_000))"), folder=tmp_path) as process:
        [found] = work.describe([process])
    assert (found.pid, found.kind, found.folder) == (process.pid, "program", str(tmp_path))
    assert 0 <= found.seconds < 60
    assert found.cpu_seconds is not None
    assert found.cpu_seconds > 0
    assert found.command.startswith(sys.executable)


def test_a_kernel_is_told_with_its_notebook(tmp_path):
    kernel = tmp_path / "ipykernel_launcher.py"
    kernel.write_text("import time\nprint('ready', flush=True)\ntime.sleep(100)\n")
    with running(sys.executable, str(kernel), JPY_SESSION_NAME="/root/work.ipynb") as process:
        [found] = work.describe([process])
    assert (found.kind, found.about) == ("notebook", "/root/work.ipynb")


@pytest.mark.parametrize(("changed", "about"), [(b"\x55", "unsaved changes to /root/a.py"), (b"\0", None)])
def test_an_editor_is_told_with_what_its_swap_file_says_is_unsaved(tmp_path, changed, about):
    swap = tmp_path / ".a.py.swp"
    swap.write_bytes(b"b0VIM 9.0".ljust(108, b"\0") + b"/root/a.py".ljust(899, b"\0") + changed + b"\0" * 3000)
    editor = tmp_path / "vim"
    editor.symlink_to(sys.executable)
    with running(str(editor), *python(f"held = open({str(swap)!r}, 'rb')")[1:]) as process:
        [found] = work.describe([process])
    assert (found.kind, found.about) == ("editor", about)


@pytest.mark.skipif(shutil.which("vim") is None, reason="no vim on this machine")
def test_the_swap_file_of_the_real_vim_is_understood(tmp_path):
    edited = tmp_path / "a.py"
    terminal = ["script", "-qec", "vim -u NONE a.py", "/dev/null"]
    process = subprocess.Popen(terminal, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        assert process.stdin is not None
        process.stdin.write(b"iunsaved words\x1b:preserve\r")
        process.stdin.flush()
        deadline = time.monotonic() + 30
        while not any(each.about for each in _editors(process.pid)):
            assert time.monotonic() < deadline, "vim never said that it has changes"
            time.sleep(0.05)
        assert [each.about for each in _editors(process.pid)] == [f"unsaved changes to {edited}"]
    finally:
        process.kill()
        process.communicate()


def _editors(parent: int) -> list[work.Work]:
    running = container.processes()
    below = {parent}
    for process in running:
        below |= {process.pid} if process.parent in below else set()
    return [each for each in work.describe([p for p in running if p.pid in below]) if each.kind == "editor"]


def test_a_file_that_was_deleted_under_its_writer_is_found_and_can_be_saved(tmp_path):
    folder = Path.home() / f".devpod-rp-test-{os.getpid()}"  # a place that is no scratch space
    folder.mkdir()
    try:
        victim = folder / "log\n.txt"
        text = (
            f"import os; held = open({str(victim)!r}, 'w'); held.write('precious'); held.flush(); os.unlink(held.name)"
        )
        with running(*python(text)) as process:
            [found] = work.deleted_but_open([process])
            assert (found.path, found.size, found.pid, found.written) == (str(victim), 8, process.pid, True)
            assert Path(f"/proc/{found.pid}/fd/{found.descriptor}").read_text() == "precious"
    finally:
        folder.rmdir()


def test_a_reader_of_a_deleted_file_does_not_write_and_scratch_space_is_nobodys_loss(tmp_path):
    text = "import tempfile; held = tempfile.TemporaryFile(dir='/tmp'); held.write(b'scratch'); held.flush()"
    with running(*python(text)) as process:
        assert work.deleted_but_open([process]) == []
    folder = Path.home() / f".devpod-rp-test-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / "set.bin").write_text("read")
        text = f"import os; held = open({str(folder / 'set.bin')!r}); os.unlink(held.name)"
        with running(*python(text)) as process:
            [found] = work.deleted_but_open([process])
            assert not found.written
    finally:
        folder.rmdir()


def test_nothing_runs_so_nothing_is_described():
    assert work.describe([]) == []
    assert work.deleted_but_open([]) == []


def test_links_on_the_volume_that_will_point_to_nothing_are_found(tmp_path):
    survey = mounts.survey(mounts.parse(OVERLAY_ROOT + "\n" + VOLUME + "\n"), ["/workspace"])
    volume = tmp_path / "workspace"
    (volume / "sub").mkdir(parents=True)
    for name, target in {
        "file": "/root/results/a.csv",
        "folder": "/root/results",
        "relative": "../../root/results/a.csv",
        "image": "/usr/bin/python3",
        "home": "/root",
        "inside": "/workspace/sub",
        "gone-before": "/nowhere",
    }.items():
        (volume / "sub" / name).symlink_to(target)
    found = dangling.find({"/root/results/a.csv"}, survey, root=str(tmp_path))
    assert [path for path, _target in found.links] == [
        "/workspace/sub/file",
        "/workspace/sub/folder",
        "/workspace/sub/relative",
    ]
    assert found.complete
    assert not dangling.find({"/root/results/a.csv"}, survey, root=str(tmp_path), seconds=-1).complete
