"""devcontainer.json is read as the specification and its reference implementation read it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from devpod_rp.errors import ConfigurationError, ExitCode
from devpod_rp.spec import devcontainer
from devpod_rp.spec.devcontainer import HostRequirements
from tests import tools

FIXTURES = sorted((Path(__file__).parent / "devcontainers").glob("*.json"))
REFERENCE = tools.CHECKS / "node_modules" / "@devcontainers" / "cli" / "devcontainer.js"
VARIABLES = {"DEVCONTAINER_TEST": 'a "b" $c', "DEVCONTAINER_EMPTY": ""}
GIB = 2**30

# The reference implementation asks for the image's variables.
DOCKER = """#!/bin/sh
case "$*" in
  *inspect*) echo '[{"Id": "sha256:1", "Architecture": "amd64", "Os": "linux",
                     "Config": {"User": "root", "Env": [], "Labels": {}}}]';;
  *version*) echo 'Docker version 27.0.0, build 0';;
esac
"""


@pytest.fixture
def write(folder):
    def write(text: str, name: str = ".devcontainer/devcontainer.json") -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def read(folder, write):
    def read(text: str, **environ: str) -> devcontainer.Devcontainer:
        return devcontainer.read(write(text), folder, workspace="/workspace/p", environ=environ)

    return read


# ---- beside the reference implementation ----------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.stem)
def test_the_reference_implementation_reads_every_fixture_alike(fixture, folder, write, tmp_path):
    tools.need(tools.NODE, REFERENCE)
    path = write(fixture.read_text(encoding="utf-8"))
    environ = surroundings(tmp_path)
    theirs = reference(folder, environ)["configuration"]
    theirs.pop("configFilePath")
    ours = devcontainer.read(path, folder, workspace=f"/workspaces/{folder.name}", environ=environ)
    assert ours.raw == theirs


@pytest.mark.slow
def test_the_reference_implementation_understands_units_and_hooks_alike(folder, write, tmp_path):
    tools.need(tools.NODE, REFERENCE)
    fixture = next(path for path in FIXTURES if path.stem == "everything")
    path = write(fixture.read_text(encoding="utf-8"))
    theirs = reference(folder, surroundings(tmp_path), "--include-merged-configuration")["mergedConfiguration"]
    ours = devcontainer.read(path, folder, workspace=f"/workspaces/{folder.name}")
    asked = ours.requirements
    assert asked.gpu
    assert theirs["hostRequirements"] == {
        "cpus": asked.cpus,
        "memory": str(asked.memory),
        "storage": str(asked.storage),
        "gpu": {"cores": asked.gpu.cores, "memory": f"{(asked.gpu.memory or 0) // GIB}gb"},
    }
    for stage in devcontainer.STAGES[1:]:
        hook = ours.hooks.get(stage)
        said = [] if hook is None else [next(iter(hook.values())) if "" in hook else hook]
        assert theirs[f"{stage}s"] == json.loads(json.dumps(said))
    assert theirs["waitFor"] == ours.wait_for
    assert theirs["remoteEnv"] == ours.remote_env


def surroundings(tmp_path):
    """The variables of a machine that has a Docker to ask."""
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    return {**os.environ, **VARIABLES, "PATH": f"{docker.parent}:{os.environ['PATH']}"}


def reference(folder, environ, *flags):
    done = subprocess.run(
        [str(tools.NODE), str(REFERENCE), "read-configuration", "--workspace-folder", str(folder), *flags],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# ---- where it is found ----------------------------------------------------------------------------------------------
def test_the_file_is_looked_for_in_the_order_of_the_specification(folder, write):
    assert devcontainer.find(folder) is None
    for name in (".devcontainer/gpu/devcontainer.json", ".devcontainer.json", ".devcontainer/devcontainer.json"):
        path = write("{}", name)
        assert devcontainer.find(folder) == path


def test_of_several_folders_none_is_taken_silently(folder, write):
    write("{}", ".devcontainer/cpu/devcontainer.json")
    write("{}", ".devcontainer/gpu/devcontainer.json")
    with pytest.raises(devcontainer.SeveralDevcontainers) as refused:
        devcontainer.find(folder)
    assert ".devcontainer/gpu/devcontainer.json" in refused.value.message
    assert refused.value.hint is not None
    assert 'devcontainer = ".devcontainer/cpu/devcontainer.json"' in refused.value.hint


# ---- what it says ---------------------------------------------------------------------------------------------------
def test_every_part_that_has_a_meaning_is_read(folder, write):
    fixture = next(path for path in FIXTURES if path.stem == "everything")
    path = write(fixture.read_text(encoding="utf-8"))
    found = devcontainer.read(path, folder, workspace="/workspace/p", environ=VARIABLES)
    assert found.image == "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404"
    assert found.workspace_folder == f"/workspace/{folder.name}"
    assert found.container_env == {
        "HERE": 'a "b" $c',
        "OLD": 'a "b" $c',
        "EMPTY": "",
        "DEFAULT": "def",
        "NO_DEFAULT": "<>",
        "COLONS": "http",
        "UNKNOWN": "${nobody} ${} $HOME ${",
        "TRAP": "// no comment /* none */ ,}",
    }
    assert found.remote_env == {
        "PATH": "${containerEnv:PATH}:/x",
        "FOLDER": f"/workspace/{folder.name} {folder.name}",
        "LOCAL": f"{folder} {folder.name}",
        "GONE": None,
    }
    assert found.forward_ports == (8888, "db:5432", "localhost:6006")
    assert found.labels == {"8888": "notebook"}
    assert found.requirements == HostRequirements(
        4, 16 * GIB, 1024 * GIB, devcontainer.GpuRequirement(cores=1000, memory=24 * GIB)
    )
    assert found.extensions == ("ms-python.python",)
    assert found.settings == {"x": 1}
    assert found.hooks == {
        "onCreateCommand": {"": ("sh", "-c", f"echo {folder.name}")},
        "postCreateCommand": {"a": "echo 1", "b": ("echo", "2")},
        "postStartCommand": {"": f"echo \"/workspace/{folder.name}\" 'éé'"},
    }
    assert found.wait_for == "postCreateCommand"
    assert found.remote_user == "vscode"


def test_the_id_is_stable_and_differs_between_folders(tmp_path):
    from devpod_rp.spec.devcontainer_variables import devcontainer_id

    first = devcontainer_id(tmp_path / "a", tmp_path / "a" / ".devcontainer.json")
    assert first == devcontainer_id(tmp_path / "a", tmp_path / "a" / ".devcontainer.json")
    assert first != devcontainer_id(tmp_path / "b", tmp_path / "b" / ".devcontainer.json")
    assert len(first) == 52


def test_what_is_not_said_is_not_invented(read):
    found = read("{}")
    assert (found.image, found.hooks, found.extensions, found.forward_ports) == (None, {}, (), ())
    assert found.requirements == HostRequirements()
    assert found.wait_for == "updateContentCommand"


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ('{\n  "image": "x"\n  "name": "y"\n}', 3, "comma"),
        ('{\n  "image": nope\n}', 2, "nope"),
        ('{\n "a": 1,\n', 3, "missing"),
        ('{\n "a": "b\n"}', 2, "control character"),
        ("[]", 1, "no object"),
        ("", 1, "missing"),
        ('{"a": NaN}', 1, "is no value"),
        ("[" * 5000, 1, "deeper"),
        ('{\n // x\n "image": 5\n}', 3, "image must be text"),
        ('{\n "forwardPorts": [1,\n true]}', 3, "forwardPorts.1"),
        ('{\n "hostRequirements": {\n "memory": "much"}}', 3, "16gb"),
        ('{\n "hostRequirements": {\n\n "gpu": "yes"}}', 4, "optional"),
        ('{"hostRequirements": {\n "cpus": 0}}', 2, "above 0"),
        ('{"containerEnv": {\n "A": null}}', 2, "containerEnv.A must be text"),
        ('{\n"postCreateCommand": {\n"a": [1]}}', 3, "postCreateCommand.a"),
        ('{\n"waitFor": "forever"}', 2, "waitFor"),
        ('{\n"customizations": {"vscode":\n []}}', 2, "customizations.vscode"),
        ('{\n"customizations": {"vscode": {\n"extensions": "x"}}}', 3, "customizations.vscode.extensions"),
    ],
)
def test_a_complaint_names_file_and_line(read, folder, text, line, what):
    with pytest.raises(ConfigurationError) as refused:
        read(text)
    assert refused.value.message.startswith(f"{folder / '.devcontainer' / 'devcontainer.json'}:{line}: ")
    assert what in refused.value.message
    assert refused.value.exit_code == ExitCode.CONFIGURATION


# ---- as a source of the configuration -------------------------------------------------------------------------------
def test_what_a_pod_can_honour_is_taken_and_the_rest_is_named_once(loaded, write, folder):
    path = write(next(each for each in FIXTURES if each.stem == "everything").read_text(encoding="utf-8"))
    found = loaded(VARIABLES)
    spec = found.spec
    assert spec.image == "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404"
    assert spec.workspace == f"/workspace/{folder.name}"
    assert spec.gpu == ("any>=24GB",)
    assert (spec.min_vcpu_per_gpu, spec.min_ram_per_gpu_gb, spec.volume.size_gb) == (4, 16, 1024)
    assert spec.forward_ports == ("notebook=8888", "6006")
    assert spec.extensions == ("ms-python.python",)
    assert spec.settings == {"x": 1}
    assert spec.hooks.on_create == (f"sh -c 'echo {folder.name}'",)
    assert spec.hooks.post_create == ("echo 1", "echo 2")
    assert spec.hooks.wait_for == "post_create"
    assert spec.env["HERE"] == 'a "b" $c'
    assert spec.session_env == {"PATH": "${containerEnv:PATH}:/x"}
    assert spec.env["LOCAL"] == f"{folder} {folder.name}"
    assert found.kinds["image"] == "devcontainer.json"
    assert found.provenance["image"] == f"{path}:4"
    assert found.provenance["env.DEFAULT"] == f"{path}:10"
    assert found.warning is not None
    for named in (
        "remoteEnv.GONE",
        "db:5432",
        "gpu.cores",
        "remoteUser vscode",
        "runArgs",
    ):
        assert named in found.warning
    assert "shutdownAction" not in found.warning


def test_it_stands_below_devpod_rp_toml_and_above_the_users_defaults(loaded, write, project, user_config):
    user_config('image = "mine:1"\ntier = "any"\n')
    assert loaded().spec.image == "mine:1"
    write('{"image": "theirs:2"}')
    assert loaded().spec.image == "theirs:2"
    assert loaded().spec.tier == "any"
    project('image = "ours:3"\n')
    assert loaded().spec.image == "ours:3"


def test_an_image_without_ssh_of_its_own_gets_the_recipe_that_brings_it_up(loaded, write):
    write('{"image": "mcr.microsoft.com/devcontainers/base:ubuntu"}')
    assert "sshd -D" in " ".join(loaded().spec.start_command or ())
    assert loaded(image="runpod/base:1").spec.start_command is None


@pytest.mark.parametrize(
    "text",
    [
        '{\n"build": {"dockerfile": "Dockerfile"}}',
        '{\n"dockerFile": "Dockerfile"}',
        '{\n"dockerComposeFile": "compose.yml", "service": "a"}',
        '{\n"features": {"ghcr.io/devcontainers/features/java:1": {}}, "image": "x"}',
    ],
)
def test_what_needs_a_build_is_refused_with_the_way_out_and_the_way_out_works(loaded, write, project, text):
    path = write(text)
    with pytest.raises(ConfigurationError) as refused:
        loaded()
    assert refused.value.kind == "devcontainer-needs-build"
    assert refused.value.exit_code == ExitCode.CONFIGURATION
    assert refused.value.message.startswith(f"{path}:2: ")
    assert 'image = "REGISTRY/NAME"' in str(refused.value.hint)
    assert 'devcontainer = "none"' in str(refused.value.hint)
    project('image = "registry/name"\n')
    assert loaded().spec.image == "registry/name"
    project('devcontainer = "none"\n')
    assert loaded().spec.template == "pytorch"


def test_a_file_elsewhere_counts_when_it_is_named(loaded, write, project):
    write('{"image": "gpu:1"}', ".devcontainer/gpu/devcontainer.json")
    write('{"image": "cpu:1"}', ".devcontainer/cpu/devcontainer.json")
    own = project('devcontainer = ".devcontainer/gpu/devcontainer.json"\n')
    assert loaded().spec.image == "gpu:1"
    own.write_text('devcontainer = "nowhere.json"\n')
    with pytest.raises(ConfigurationError, match=r"devpod-rp\.toml:1: there is no .*nowhere\.json"):
        loaded()


def test_without_a_gpu_it_is_a_cpu_pod_with_enough_memory(loaded, write):
    write('{"hostRequirements": {"gpu": false, "cpus": 3, "memory": "30gb"}}')
    spec = loaded().spec
    assert (spec.cpu, spec.vcpu, spec.gpu, spec.volume.kind) == ("cpu3g", 8, (), "network")


def test_a_workspace_that_a_stop_would_wipe_is_only_another_name_for_ours(loaded, write):
    write('{"workspaceFolder": "/workspaces/project"}')
    found = loaded()
    assert (found.spec.workspace, found.spec.workspace_alias) == (None, "/workspaces/project")
    assert found.warning is None
