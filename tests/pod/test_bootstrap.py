"""The agent starts in whatever shell, with whatever Python, in whatever surroundings a pod offers."""

from __future__ import annotations

import json
import os
import pkgutil
import shlex
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import devpod_rp.agent
from devpod_rp.agent import operations
from devpod_rp.pod import bootstrap
from devpod_rp.pod.link import AgentLink, AgentStartFailed
from tests.pod.conftest import Open
from tests.pod.local import LocalConnection

_VERSIONS = sorted(Path("/root/.pyenv/versions").glob("3.*/bin/python3")) if os.access("/root", os.X_OK) else []
_MODERN = [path for path in _VERSIONS if int(path.parts[-3].split(".")[1]) >= 8]
_TOO_OLD = [path for path in _VERSIONS if path not in _MODERN]


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A PATH with the shell's tools and nothing else; tests add a python3 of their own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("sh", "cat", "sleep"):
        (folder / tool).symlink_to(f"/bin/{tool}")
    return folder


def _named(path: Path) -> str:
    return path.parts[-3]


@pytest.mark.parametrize("python", _MODERN, ids=_named)
def test_every_python_from_3_8_on_runs_the_agent(python: Path, places: Path, opened: Open) -> None:
    (places / "python3").symlink_to(python)
    link = opened(LocalConnection({"PATH": str(places)}))
    assert link.hello.python.startswith(python.parts[-3].rpartition(".")[0])
    assert link.ping() < 5


@pytest.mark.parametrize("python", _TOO_OLD, ids=_named)
def test_a_python_that_is_too_old_is_passed_over_for_a_later_one(python: Path, places: Path, opened: Open) -> None:
    (places / "python3").symlink_to(python)
    (places / f"python3.{sys.version_info.minor}").symlink_to(sys.executable)
    link = opened(LocalConnection({"PATH": str(places)}))
    assert link.hello.python == ".".join(map(str, sys.version_info[:3]))


def test_a_shim_without_a_python_behind_it_is_passed_over(places: Path, opened: Open) -> None:
    (places / "python3").write_text("#!/bin/sh\necho 'pyenv: version 3.4 is not installed' >&2\nexit 127\n")
    (places / "python3").chmod(0o755)
    (places / f"python3.{sys.version_info.minor}").symlink_to(sys.executable)
    assert opened(LocalConnection({"PATH": str(places)})).alive


def test_a_pod_without_python_gets_an_error_that_says_how_to_install_one(tmp_path: Path) -> None:
    nowhere = "PATH=/nowhere; "
    # In a root where none of the candidates exists, without needing such a root: each is replaced by a missing name.
    connection = LocalConnection(
        shell=lambda command: (
            nowhere + command.replace("/usr/", "/no/").replace("/opt/", "/no/").replace("/venv/", "/no/")
        )
    )
    with pytest.raises(AgentStartFailed, match=r"no Python 3\.8 or newer") as failed:
        AgentLink.open(connection)
    assert failed.value.hint is not None
    assert "apt-get install" in failed.value.hint
    assert connection.closed


def test_a_virtual_environments_python_runs_the_agent(places: Path, opened: Open) -> None:
    (places / "python3").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (places / "python3").chmod(0o755)
    assert opened(LocalConnection({"PATH": str(places)})).alive


@pytest.mark.parametrize(
    "start_file",
    [
        "echo 'Welcome to RunPod!'; ",
        "printf 'no end of line'; ",
        "printf '\\0\\001\\377 devpod_rp agent \\n'; ",
        "echo 'a warning' >&2; ",
        "head -c 1000000 /dev/zero; ",
        "seq 100000; ",
    ],
)
def test_what_the_shells_start_files_print_is_skipped(start_file: str, opened: Open) -> None:
    link = opened(LocalConnection(shell=lambda command: start_file + command))
    assert link.ping() < 5


@pytest.mark.parametrize("shell", ["bash", "dash", "zsh", "fish", "tcsh"])
def test_any_login_shell_can_run_the_command(shell: str, opened: Open) -> None:
    path = next(
        (f"/{folder}/{shell}" for folder in ("bin", "usr/bin") if os.access(f"/{folder}/{shell}", os.X_OK)), None
    )
    if path is None:
        pytest.skip(f"no {shell} here")
    link = opened(LocalConnection(shell=lambda command: f"exec {path} -c {shlex.quote(command)}"))
    assert link.alive


def test_python_variables_a_struct_py_in_the_folder_and_a_sitecustomize_change_nothing(
    tmp_path: Path, opened: Open
) -> None:
    for name in ("struct.py", "json.py", "zlib.py", "sitecustomize.py", "usercustomize.py"):
        (tmp_path / name).write_text("print('gotcha'); raise SystemExit('taken over')\n")
    hostile = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "PYTHONSTARTUP": str(tmp_path / "struct.py"),
        "PYTHONINSPECT": "1",
        "PYTHONVERBOSE": "1",
        "PYTHONIOENCODING": "utf-16",
        "PYTHONHASHSEED": "0",
    }
    assert opened(LocalConnection(hostile, folder=tmp_path)).ping() < 5


def test_a_latin_1_locale_does_not_change_the_names_of_files(tmp_path: Path, opened: Open) -> None:
    (tmp_path / "köln").write_bytes(b"x")
    link = opened(LocalConnection({**os.environ, "LC_ALL": "de_DE.ISO-8859-1", "LANG": "de_DE.ISO-8859-1"}))
    state = tmp_path.parent / "state"
    identity = link.call("root.open", root=str(tmp_path), state=str(state), adopt="t" * 32).header
    wishes = json.dumps({"rules": [], "paths": None}).encode()
    frames = list(link.stream("files.survey", wishes, root=str(tmp_path), state=str(state), ino=identity["ino"]))
    _folders, ((name, *_what),) = json.loads(zlib.decompress(frames[0].body))
    assert name == "köln"


def test_nothing_is_written_on_the_pod(tmp_path: Path, opened: Open) -> None:
    home, folder, temporary = tmp_path / "home", tmp_path / "folder", tmp_path / "tmp"
    for path in (home, folder, temporary):
        path.mkdir()
    places = {**os.environ, "HOME": str(home), "TMPDIR": str(temporary)}
    opened(LocalConnection(places, folder=folder)).ping()
    assert [path for path in tmp_path.rglob("*") if path not in (home, folder, temporary)] == []


def test_the_rooms_that_an_agent_starts_with_need_no_other() -> None:
    program, _, _ = zlib.decompress(bootstrap.payload("0" * 16)).decode().rpartition("from ")
    every = [each.name for each in pkgutil.walk_packages(devpod_rp.agent.__path__, "devpod_rp.agent.")]
    at_once = [name for name in every if name.split(".")[2] in operations.ROOMS_AT_THE_START]
    assert len(at_once) > 30
    subprocess.run(
        [sys.executable, "-I", "-S", "-"], input=f"{program}\nimport {', '.join(at_once)}\n", text=True, check=True
    )


def test_an_operation_of_another_room_is_carried_out_as_well(opened: Open, tmp_path: Path) -> None:
    link = opened(LocalConnection())
    for _ in range(2):
        assert json.loads(link.call("rescue.list", volume=str(tmp_path)).body) == []


def test_a_shell_that_never_starts_the_agent_is_given_up_after_the_timeout(tmp_path: Path) -> None:
    connection = LocalConnection(shell=lambda _command: "exec sleep 60")
    with pytest.raises(AgentStartFailed, match=r"did not start in the pod within 0\.2 s"):
        AgentLink.open(connection, timeout=0.2)
    assert connection.closed
    assert connection.channels[0].process.returncode is not None


def test_a_python_that_cannot_run_the_agent_is_reported_with_its_own_last_line(places: Path) -> None:
    (places / "python3").write_text(
        '#!/bin/sh\ncase "$1" in -V) echo "Python 3.11.0";; *) echo "No module named encodings" >&2; exit 1;; esac\n'
    )
    (places / "python3").chmod(0o755)
    with pytest.raises(AgentStartFailed, match="No module named encodings"):
        AgentLink.open(LocalConnection({"PATH": str(places)}))
