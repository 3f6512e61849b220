"""What a pod was started with is there in every kind of session, through both SSH servers, and nobody else reads it."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
from pathlib import Path

import pytest

from devpod_rp.lifecycle.furnishing import sessions
from devpod_rp.localcloud import sandbox
from devpod_rp.progress import silent
from tests.localcloud.sandbox.conftest import AWKWARD, MakePod, Pod

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

# As an image with CUDA and a virtual environment has them.
IMAGE = {
    "PATH": "/opt/venv/bin:/usr/local/cuda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "VIRTUAL_ENV": "/opt/venv",
    "LD_LIBRARY_PATH": "/usr/local/cuda/lib64",
    "CUDA_HOME": "/usr/local/cuda",
    "lower_case": "too",
}
SHOW = "/usr/bin/python3 -c 'import json, os; print(\"JSON\" + json.dumps(dict(os.environ)))'"
# What an editor leaves running and opens a terminal or a task from: no login shell, no terminal of its own.
EDITOR = """
import os, pty, subprocess, sys
program = sys.argv[2:]
if sys.argv[1] == "terminal":
    pty.spawn(program)
else:
    subprocess.run(program, check=True)
"""


def editors(kind: str, *program: str) -> str:
    server = shlex.join(["/usr/bin/python3", "-c", EDITOR, kind, *program])
    return f"sh -c {shlex.quote(f'setsid nohup {server} 2>/dev/null')}"


# What is run over SSH, its options, and what is typed there; {show} is the command that shows the variables.
KINDS = {
    "a command": ("{show}", (), ""),
    "sh -c": ("sh -c {quoted}", (), ""),
    "bash -c": ("bash -c {quoted}", (), ""),
    "bash -lc": ("bash -lc {quoted}", (), ""),
    "sh -lc": ("sh -lc {quoted}", (), ""),
    "a script on stdin": ("sh", ("-T",), "{show}\n"),
    "a script for a login shell": ("bash -l", ("-T",), "{show}\n"),
    "a login at a terminal": ("", ("-tt",), "{show}\nexit\n"),
    "a shell at a terminal": ("bash", ("-tt",), "{show}\nexit\n"),
    "a shell in a shell": ("bash -ic {quoted}", ("-tt",), ""),
    "an editor's terminal": (editors("terminal", "bash", "-ic", SHOW), (), ""),
    "an editor's task": (editors("task", "/bin/sh", "-c", SHOW), (), ""),
    "tmux": ("tmux new-session -d {quoted_to_file}; until [ -s {file} ]; do sleep 0.05; done; cat {file}", (), ""),
    "zsh -c": ("zsh -c {quoted}", (), ""),
    "zsh -ilc": ("zsh -ilc {quoted}", ("-tt",), ""),
    "fish -c": ("fish -c {quoted}", (), ""),
    "fish -lc": ("fish -lc {quoted}", (), ""),
    "an empty environment": ("env -i HOME=/root bash -lc {quoted}", (), ""),
    "an empty environment at a terminal": ("env -i HOME=/root TERM=xterm bash -ic {quoted}", ("-tt",), ""),
}  # fmt: skip


@pytest.fixture(scope="module", params=["openssh", "asyncssh"])
def pod(request: pytest.FixtureRequest, make_pod: MakePod) -> Pod:
    if request.param == "openssh" and sandbox.probe().sshd != "openssh":
        pytest.skip("this machine has no OpenSSH server")
    made = make_pod(ssh_server=request.param, env={**AWKWARD, **IMAGE}).start()
    with contextlib.closing(made.agent()) as link:
        sessions.prepare(link, {}, silent)
    return made


def seen(pod: Pod, kind: str) -> dict[str, str]:
    command, options, typed = KINDS[kind]
    file = f"/tmp/seen-{kind.replace(' ', '-')}"
    words = {
        "show": SHOW,
        "quoted": shlex.quote(SHOW),
        "quoted_to_file": shlex.quote(f"{SHOW} > {file}.new && mv {file}.new {file}"),
        "file": file,
    }
    for name, text in words.items():
        command, typed = command.replace("{" + name + "}", text), typed.replace("{" + name + "}", text)
    done = pod.ssh(command, *options, stdin=typed.encode())
    lines = [line.strip() for line in done.stdout.decode().splitlines() if line.startswith("JSON")]
    assert lines, done
    found: dict[str, str] = json.loads(lines[-1][4:])
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_variable_is_there_byte_for_byte_in(pod: Pod, kind: str) -> None:
    program = kind.split()[0]
    if program in ("zsh", "fish", "tmux") and shutil.which(program) is None:
        pytest.skip(f"this machine has no {program}")
    found = seen(pod, kind)
    expected = {**AWKWARD, **IMAGE, "RUNPOD_POD_ID": pod.machine.pod_id}
    path = expected.pop("PATH").split(":")
    assert {name: found.get(name) for name in expected} == expected
    places = found["PATH"].split(":")
    assert places[: len(path)] == path
    assert len(places) == len(set(places))
    assert found["HOME"] == "/root"
    if Path("/usr/lib/locale/C.utf8").exists():
        assert found["LANG"] == "C.UTF-8"
    assert "PUBLIC_KEY" not in found


@pytest.mark.parametrize("shell", ["bash", "bash -i", "sh", "zsh", "fish"])
def test_what_somebody_sets_stays_set_in_a_shell_below(pod: Pod, shell: str) -> None:
    if shutil.which(shell.split()[0]) is None:
        pytest.skip(f"this machine has no {shell}")
    inner = f"{shell} -c {shlex.quote(SHOW)}"
    said = pod.says(f"export DOLLAR=mine PATH=/mine:$PATH; unset EQUALS; {inner} 2>/dev/null")
    found = json.loads(said.splitlines()[-1][4:])
    assert found["DOLLAR"] == "mine"
    assert found["PATH"].startswith("/mine:/opt/venv/bin:")
    assert "EQUALS" not in found


@pytest.mark.parametrize("command", ["true", "bash -lc true", "sh -lc true", "zsh -c true", "fish -c true", "sh"])
def test_start_files_say_nothing(pod: Pod, command: str) -> None:
    if shutil.which(command.split()[0]) is None:
        pytest.skip(f"this machine has no {command}")
    done = pod.ssh(command, "-T")
    assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 0)


def test_a_terminal_shows_no_complaint(pod: Pod) -> None:
    said = pod.ssh("bash -ic true; bash -lic true", "-tt").stdout
    assert b"rp_environment" not in said
    assert b"not found" not in said
    assert b"unexpected" not in said


def test_values_are_where_only_root_reads_them(pod: Pod) -> None:
    find = "find / -xdev \\( -path /proc -o -path /sys -o -path /usr \\) -prune -o -type f -perm /044 -size -1M -print0"
    listed = pod.says(f"{find} | xargs -0 grep -lF {shlex.quote(AWKWARD['UNICODE'])} 2>/dev/null || true")
    assert listed == ""
    assert pod.says("stat -c %a /etc/rp_environment /etc/devpod_rp/environment.sh").split() == ["600", "600"]


def test_doing_it_again_changes_no_file(pod: Pod) -> None:
    look = "find /etc /root -type f -printf '%p %i %T@ %m\\n' | sort"
    before = pod.says(look)
    with contextlib.closing(pod.agent()) as link:
        sessions.prepare(link, {}, silent)
    assert pod.says(look) == before


def test_it_does_not_count_as_somebodys_work(pod: Pod) -> None:
    with contextlib.closing(pod.agent()) as link:
        from devpod_rp.guard.report import inspect, record_baseline

        record_baseline(link, volume_path="/workspace")
        assert [risk.path for risk in inspect(link, volume_path="/workspace").at_risk if "/etc" in risk.path] == []
