"""Opening a pod's folder in VS Code: by its command if there is one, else by a link."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from devpod_rp.editors import registry, vscode
from devpod_rp.errors import UsageError


def program(directory: Path, body: str) -> str:
    """A stand-in for `code`: a real program, found and run like the real one."""
    path = directory / "code"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_the_command_gets_one_argument_with_the_folder(tmp_path: Path) -> None:
    code = program(tmp_path, f'printf "%s\\n" "$@" > "{tmp_path}/seen"')
    opened = vscode.open_folder("demo.devpod", "/workspace/my project", which=lambda _name: code)
    uri = "--folder-uri=vscode-remote://ssh-remote+demo.devpod/workspace/my%20project"
    assert (opened.launched, opened.command, opened.problem) == (True, (code, uri), None)
    assert (tmp_path / "seen").read_text() == uri + "\n"


def test_without_the_command_there_is_a_link() -> None:
    opened = vscode.open_folder("demo.devpod", "/workspace/demo", which=lambda _name: None)
    assert (opened.launched, opened.command) == (False, None)
    assert opened.deep_link == "vscode://vscode-remote/ssh-remote+demo.devpod/workspace/demo?windowId=_blank"


@pytest.mark.parametrize("path", ["/workspace/a b", "/w/50%", "/w/q?x#y", "/w/line:12", "/w/ünï", "/w/a+b&c=d"])
def test_every_path_survives_the_link(path: str) -> None:
    opened = vscode.open_folder("demo.devpod", path, which=lambda _name: None)
    parts = urlsplit(opened.deep_link)
    assert unquote(parts.path) == "/ssh-remote+demo.devpod" + path
    assert (parts.query, parts.fragment) == ("windowId=_blank", "")
    assert ":" not in parts.path


def test_a_path_that_is_not_utf8_is_encoded_byte_by_byte() -> None:
    opened = vscode.open_folder("demo.devpod", os.fsdecode(b"/w/\xe9"), which=lambda _name: None)
    assert "/w/%E9?" in opened.deep_link


def test_a_command_that_fails_leaves_the_link_and_its_reason(tmp_path: Path) -> None:
    code = program(tmp_path, "echo starting >&2; echo 'super user is not supported' >&2; exit 1")
    opened = vscode.open_folder("demo.devpod", "/workspace", which=lambda _name: code)
    assert (opened.launched, opened.problem) == (False, "super user is not supported")
    assert opened.deep_link.startswith("vscode://")


@pytest.mark.parametrize("failure", [OSError("Exec format error"), subprocess.TimeoutExpired("code", 60)])
def test_a_command_that_cannot_run_leaves_the_link(failure: Exception) -> None:
    def run(*_arguments: object, **_options: object) -> subprocess.CompletedProcess[bytes]:
        raise failure

    opened = vscode.open_folder("demo.devpod", "/workspace", which=lambda _name: "/bin/code", run=run)
    assert not opened.launched
    assert opened.problem == str(failure)


def test_a_relative_path_makes_no_sense() -> None:
    with pytest.raises(UsageError, match="absolute"):
        vscode.open_folder("demo.devpod", "workspace", which=lambda _name: None)


def test_the_registry_knows_vscode_and_names_it_when_asked_for_another() -> None:
    assert registry.editor("vscode").open_folder is vscode.open_folder
    with pytest.raises(UsageError) as refusal:
        registry.editor("emacs")
    assert refusal.value.hint is not None
    assert "vscode" in refusal.value.hint
