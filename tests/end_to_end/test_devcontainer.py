"""A project with a devcontainer.json: its machine, its variables, and its hooks at their moments."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.conftest import World, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(600)]

PROJECT: dict[str, Any] = {
    "image": "mcr.microsoft.com/devcontainers/base:ubuntu",
    "containerEnv": {"GREETING": 'it\'s "$HOME"'},
    "remoteEnv": {"PATH": "${containerEnv:PATH}:/opt/project/bin", "NONE": "<${containerEnv:NOBODY:default}>"},
    "initializeCommand": "touch ran-here",
    "onCreateCommand": {"one": "echo one >> runs", "two": ["sh", "-c", 'echo "two $GREETING" >> runs']},
    "postCreateCommand": "touch /root/installed; echo created >> runs",
    "postStartCommand": "echo started >> ${containerWorkspaceFolder}/runs",
    "workspaceFolder": "/workspaces/${localWorkspaceFolderBasename}",
    "customizations": {"vscode": {"settings": {"editor.tabSize": 3}}},
    "postAttachCommand": "echo attached >> runs",
    "waitFor": "postCreateCommand",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("devcontainer"))
    write(world, PROJECT)
    try:
        yield world
    finally:
        world.end()


def write(world: World, project: dict[str, Any]) -> None:
    (world.folder / ".devcontainer.json").write_text(f"// the project's\n{json.dumps(project)}")


def runs(world: World) -> list[str]:
    return world.ssh("cat /workspace/proj/runs").stdout.splitlines()


def up(world: World) -> str:
    done = world.run("up", "--yes", "--json")
    assert done.exit_code == 0, done.stdout + done.stderr
    return done.stderr


def test_hooks_run_on_the_pod_in_their_order_and_up_waits_for_those_it_shall(world: World) -> None:
    said = up(world)
    assert "Running on_create: echo one >> runs & sh -c" in said
    assert "initializeCommand (it would run here" in said
    assert not (world.folder / "ran-here").exists()
    first = runs(world)
    assert sorted(first[:2]) == ["one", 'two it\'s "$HOME"']
    assert first[2] == "created"
    eventually(lambda: runs(world)[3:] == ["started", "attached"], "the later hooks ran by themselves")


def test_what_extends_the_images_variables_does_so_in_every_session(world: World) -> None:
    path, none = world.ssh('echo "$PATH"; echo "$NONE"').stdout.splitlines()
    assert path.endswith(":/opt/project/bin")
    assert "/usr/bin" in path
    assert none == "<default>"


def test_its_settings_are_on_the_pod_for_the_editor_that_is_opened(world: World) -> None:
    assert world.run("open", "--json", PATH="/usr/sbin").exit_code == 0
    assert json.loads(world.ssh("cat ~/.vscode-server/data/Machine/settings.json").stdout) == {"editor.tabSize": 3}


def test_a_second_up_only_attaches(world: World) -> None:
    before = runs(world)
    assert "Running on_create" not in up(world)
    eventually(lambda: runs(world) == [*before, "attached"], "only the hook of an attach ran")


def test_what_died_with_the_container_disk_is_made_again(world: World) -> None:
    before = len(runs(world))
    assert world.run("stop", "--force", "--json").exit_code == 0
    up(world)
    assert world.ssh("test -e /root/installed").exit_code == 0
    again = ["created", "started", "attached"]
    eventually(lambda: runs(world)[before + 2 :] == again, "every hook ran again", lambda: str(runs(world)))


def test_a_hook_that_fails_is_told_with_its_words_and_stops_the_later_ones(world: World) -> None:
    write(world, {**PROJECT, "postCreateCommand": "echo no such package >&2; exit 9"})
    before = runs(world)
    said = up(world)
    assert "post_create failed with exit code 9" in said
    assert "no such package" in said
    assert runs(world) == before


def test_who_interrupts_a_hook_is_told_that_the_pod_runs_on(world: World) -> None:
    write(world, {**PROJECT, "postCreateCommand": "touch waiting; sleep 300"})
    bringing = world.start("up", "--yes", "--json")
    eventually(lambda: world.ssh("test -e /workspace/proj/waiting").exit_code == 0, "the hook is at work")
    bringing.send_signal(signal.SIGINT)
    stdout, _ = bringing.communicate(timeout=60)
    said = json.loads(stdout)["error"]
    assert (bringing.returncode, said["kind"]) == (130, "interrupted")
    assert "proj runs on, for $" in said["message"]
    assert "devpod-rp stop proj" in said["hint"]


def test_a_command_is_passed_through_with_its_words_output_and_exit_code(world: World) -> None:
    below = world.folder / "below"
    below.mkdir(exist_ok=True)
    for arguments, exit_code, printed in (
        (("--", "printf", "%s|", "a b", "$HOME", "--json"), 0, "a b|$HOME|--json|"),
        (("--", "echo $((40+2)); exit 3"), 3, "42\n"),
        (("proj", "--", "printf", "proj"), 0, "proj"),
        (("--", "proj"), 127, ""),
        (("printf", "%s|", "--", "x"), 0, "--|x|"),
    ):
        done = world.run("ssh", *arguments, cwd=below)
        assert (done.exit_code, done.stdout) == (exit_code, printed), arguments
    nobody = world.run("ssh", "nobody", "--", "true")
    assert nobody.exit_code == 2, nobody.stderr
    assert "nobody" in nobody.stderr


def test_a_project_that_needs_a_build_is_refused_before_anything_changes(world: World) -> None:
    write(world, {"build": {"dockerfile": "Dockerfile"}})
    refused = world.run("up", "--yes", "--json")
    assert refused.exit_code == 3
    assert refused.json["error"]["kind"] == "devcontainer-needs-build"
