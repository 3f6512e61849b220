"""Opening a pod's folder in an editor: by its command if it is on this machine, else by a link."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from devpod_rp.editors.model import Target
from devpod_rp.editors.registry import NAMES, editors
from devpod_rp.errors import DevpodError, UsageError
from tests.editors.conftest import Desk

VS_CODES = {
    "code": ("code", "vscode"),
    "code-insiders": ("code-insiders", "vscode-insiders"),
    "cursor": ("cursor", "cursor"),
    "windsurf": ("windsurf", "windsurf"),
    "codium": ("codium", "vscodium"),
}
PATHS = ["/workspace/a b", "/w/50%", "/w/q?x#y", "/w/line:12", "/w/ünï", "/w/a+b&c=d"]


def target(path: str = "/workspace/demo") -> Target:
    return Target("demo.devpod", path, "203.0.113.7", 22017, "root")


def test_every_name_is_an_editor(desk: Desk) -> None:
    known = editors(desk.machine)
    assert tuple(known) == NAMES
    assert all(known[name].name == name and known[name].title for name in NAMES)


@pytest.mark.parametrize("name", VS_CODES)
def test_the_command_gets_one_argument_with_the_folder(desk: Desk, name: str) -> None:
    program = desk.install(VS_CODES[name][0])
    opened = editors(desk.machine)[name].open(target("/workspace/my project"))
    uri = "--folder-uri=vscode-remote://ssh-remote+demo.devpod/workspace/my%20project"
    assert (opened.launched, opened.command, opened.problem) == (True, (program, uri), None)
    assert desk.calls == [[uri]]


def test_a_workspace_file_is_opened_as_a_file(desk: Desk) -> None:
    desk.install("code")
    editors(desk.machine)["code"].open(target("/workspace/demo/all.code-workspace"))
    assert desk.calls == [["--file-uri=vscode-remote://ssh-remote+demo.devpod/workspace/demo/all.code-workspace"]]


@pytest.mark.parametrize("name", VS_CODES)
def test_without_the_command_there_is_a_link(desk: Desk, name: str) -> None:
    opened = editors(desk.machine)[name].open(target())
    assert (opened.launched, opened.command, opened.problem) == (False, None, None)
    scheme = VS_CODES[name][1]
    assert opened.deep_link == f"{scheme}://vscode-remote/ssh-remote+demo.devpod/workspace/demo?windowId=_blank"


@pytest.mark.parametrize("path", PATHS)
def test_every_path_survives_the_links(desk: Desk, path: str) -> None:
    known = editors(desk.machine)
    code = urlsplit(known["code"].open(target(path)).deep_link)
    assert unquote(code.path) == "/ssh-remote+demo.devpod" + path
    assert (code.query, code.fragment) == ("windowId=_blank", "")
    assert ":" not in code.path
    zed = urlsplit(known["zed"].open(target(path)).deep_link)
    assert (zed.scheme, zed.netloc, unquote(zed.path)) == ("zed", "ssh", "/demo.devpod" + path)
    gateway = parse_qs(urlsplit(known["jetbrains"].open(target(path)).deep_link).fragment)
    assert gateway["projectPath"] == [path]


def test_a_path_that_is_not_utf8_is_encoded_byte_by_byte(desk: Desk) -> None:
    opened = editors(desk.machine)["code"].open(target(os.fsdecode(b"/w/\xe9")))
    assert "/w/%E9?" in opened.deep_link


def test_zed_gets_an_ssh_url(desk: Desk) -> None:
    desk.install("zeditor")
    assert editors(desk.machine)["zed"].open(target("/workspace/my project")).launched
    assert desk.calls == [["ssh://demo.devpod/workspace/my%20project"]]


def test_jetbrains_gateway_gets_the_address_itself(desk: Desk) -> None:
    desk.install("jetbrains-gateway")
    opened = editors(desk.machine)["jetbrains"].open(target())
    assert desk.calls == [[opened.deep_link]]
    wanted = parse_qs(urlsplit(opened.deep_link).fragment)
    assert (wanted["type"], wanted["host"], wanted["port"], wanted["user"]) == (
        ["ssh"], ["203.0.113.7"], ["22017"], ["root"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("platform", "name", "place"),
    [
        ("darwin", "code", "Applications/Visual Studio Code.app/Contents/Resources/app/bin/code"),
        ("darwin", "code-insiders", "Applications/Visual Studio Code - Insiders.app/Contents/Resources/app/bin/code"),
        ("darwin", "cursor", "Applications/Cursor.app/Contents/Resources/app/bin/cursor"),
        ("darwin", "zed", "Applications/Zed.app/Contents/MacOS/cli"),
        ("win32", "code", "AppData/Programs/Microsoft VS Code/bin/code.cmd"),
        ("win32", "code", "Files/Microsoft VS Code/bin/code.cmd"),
        ("win32", "windsurf", "AppData/Programs/Windsurf/bin/windsurf.cmd"),
    ],
)
def test_an_editor_that_is_not_on_path_is_found_where_it_installs_itself(
    tmp_path: Path, platform: str, name: str, place: str
) -> None:
    desk = Desk(tmp_path / "desk", platform)
    there = desk.install(name, at=desk.base / place)
    assert editors(desk.machine)[name].program() == there
    assert editors(Desk(tmp_path / "other", "linux").machine)[name].program() is None


def test_a_command_that_fails_leaves_the_link_and_its_reason(desk: Desk) -> None:
    desk.install("code", 'sys.exit("super user is not supported")')
    opened = editors(desk.machine)["code"].open(target())
    assert (opened.launched, opened.problem) == (False, "super user is not supported")
    assert opened.deep_link.startswith("vscode://")


def test_a_command_that_cannot_run_leaves_the_link(desk: Desk) -> None:
    (desk.bin / "code").write_bytes(b"\x7fELF broken")
    (desk.bin / "code").chmod(0o755)
    opened = editors(desk.machine)["code"].open(target())
    assert not opened.launched
    assert "Exec format error" in str(opened.problem)


def test_a_relative_path_makes_no_sense() -> None:
    with pytest.raises(UsageError, match="absolute"):
        target("workspace")


LISTS = 'if "--list-extensions" in sys.argv: print("MS-Python.python\\n{0}")'


@pytest.mark.parametrize(
    ("name", "needed"), [("code", "ms-vscode-remote.remote-ssh"), ("codium", "jeanp413.open-remote-ssh")]
)
def test_the_extension_for_ssh_is_missed_and_installed(desk: Desk, name: str, needed: str) -> None:
    desk.install(name, LISTS.format("vscodevim.vim"))
    editor = editors(desk.machine)[name]
    assert editor.missing_extension() == needed
    editor.install_extension(needed)
    assert desk.calls == [["--list-extensions"], ["--install-extension", needed]]


def test_an_extension_that_is_there_is_not_missed(desk: Desk) -> None:
    desk.install("code", LISTS.format("MS-vscode-remote.Remote-SSH"))
    assert editors(desk.machine)["code"].missing_extension() is None


@pytest.mark.parametrize("name", ["cursor", "windsurf", "zed", "jetbrains"])
def test_editors_with_ssh_built_in_miss_nothing(desk: Desk, name: str) -> None:
    desk.install(name)
    assert editors(desk.machine)[name].missing_extension() is None
    assert desk.calls == []


def test_an_extension_that_cannot_be_installed_is_an_error_with_the_last_words(desk: Desk) -> None:
    desk.install("code", 'sys.exit("getaddrinfo ENOTFOUND marketplace.visualstudio.com")')
    with pytest.raises(DevpodError, match="ENOTFOUND"):
        editors(desk.machine)["code"].install_extension("ms-vscode-remote.remote-ssh")
