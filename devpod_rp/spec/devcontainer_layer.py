"""What of a devcontainer.json a pod can honour, as keys of our configuration; the rest by name. Pure.

A pod runs a ready image and nothing is built for it, so Dockerfiles, compose files and features are refused.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from devpod_rp.errors import ConfigurationError
from devpod_rp.spec.devcontainer import STAGES, Devcontainer, Stage
from devpod_rp.spec.devcontainer_variables import with_container_env
from devpod_rp.spec.model import EXTENSION
from devpod_rp.spec.ports import FORM

Keys = tuple[str, ...]

_BUILDS = ("build", "dockerFile", "dockerComposeFile", "features")
_GIB = 2**30
_SMALLEST_VOLUME_GB = 10
# A flavor with 4 GB of memory for each vCPU: docs.runpod.io, the general-purpose CPU pods.
_CPU_FLAVOR = "cpu3g"
_CPU_GB_PER_VCPU = 4
_STAGES: dict[Stage, str] = {
    "onCreateCommand": "on_create",
    "updateContentCommand": "update_content",
    "postCreateCommand": "post_create",
    "postStartCommand": "post_start",
    "postAttachCommand": "post_attach",
}
_ROOT = ("root", "0", None)
# Said by almost every file, or about this machine's Docker: on a pod nobody misses them.
_IDLE = {
    "$schema",
    "name",
    "image",
    "containerEnv",
    "remoteEnv",
    "remoteUser",
    "containerUser",
    "workspaceFolder",
    "workspaceMount",
    "forwardPorts",
    "portsAttributes",
    "hostRequirements",
    "customizations",
    "extensions",
    "settings",
    "waitFor",
    "updateRemoteUserUID",
    "userEnvProbe",
    "overrideCommand",
    "shutdownAction",
    "overrideFeatureInstallOrder",
    *_BUILDS,
    *STAGES,
}


class NeedsBuild(ConfigurationError):
    """The devcontainer.json wants an image built, or several containers: a pod runs one image that is there already."""

    kind = "devcontainer-needs-build"


@dataclass(frozen=True)
class Honoured:
    """*values* by key of our configuration, *places* where each stands, *left_out* what a pod has no use for."""

    values: dict[Keys, Any]
    places: dict[Keys, str]
    left_out: tuple[str, ...]


def honoured(found: Devcontainer, start_command: list[str], *, image_elsewhere: bool) -> Honoured:
    """What becomes of *found*; *start_command* brings up SSH in an image that does not do so itself.

    *image_elsewhere*: something that comes before this file names the image, so what builds one is only left out.

    Raises:
        NeedsBuild: the image is to be built, and none is named elsewhere.
    """
    builds = [key for key in _BUILDS if found.raw.get(key)]
    if builds and not image_elsewhere:
        raise NeedsBuild(
            f"{found.where(builds[0])}: {builds[0]} must be built, and a pod runs an image that is there already.",
            hint="build and push it once (devcontainer build --push --image-name REGISTRY/NAME --workspace-folder .), "
            'then name it in devpod-rp.toml: image = "REGISTRY/NAME"; or devcontainer = "none" ignores the file.',
        )
    made = _Layer(found)
    made.left_out += builds
    if found.image is not None and not image_elsewhere:
        made.put(("image",), found.image, "image")
        made.put(("start_command",), start_command, "image")
    made.environment()
    made.machine()
    made.workspace()
    made.ports()
    made.editor()
    made.hooks()
    made.others()
    return Honoured(made.values, made.places, tuple(made.left_out))


class _Layer:
    def __init__(self, found: Devcontainer) -> None:
        self._found = found
        self.values: dict[Keys, Any] = {}
        self.places: dict[Keys, str] = {}
        self.left_out: list[str] = []

    def put(self, keys: Keys, value: Any, *source: str) -> None:
        self.values[keys] = value
        self.places[keys] = self._found.where(*source)

    def environment(self) -> None:
        """Both kinds of variables: every session on a pod has those of the pod."""
        known: dict[str, str] = {}
        for source, variables in (
            ("containerEnv", self._found.container_env),
            ("remoteEnv", self._found.remote_env),
        ):
            for name, text in variables.items():
                value = with_container_env(text, known) if text is not None else None
                if value is None and text is not None and source == "remoteEnv":
                    # The image's variables are known on the pod only.
                    self.put(("session_env", name), text, source, name)
                    continue
                if value is None:
                    self.left_out.append(f"{source}.{name}")  # null unsets it
                    continue
                self.put(("env", name), value, source, name)
                if source == "containerEnv":
                    known[name] = value

    def machine(self) -> None:
        asked = self._found.requirements
        if asked.gpu is False:
            memory_gb = -(-(asked.memory or 0) // _GIB)
            wanted = max(2, asked.cpus or 0, -(-memory_gb // _CPU_GB_PER_VCPU))
            self.put(("cpu",), _CPU_FLAVOR, "hostRequirements", "gpu")
            self.put(("vcpu",), 1 << (wanted - 1).bit_length(), "hostRequirements", "cpus")
        else:
            if asked.gpu is not None and asked.gpu.memory:
                gpu_gb = -(-asked.gpu.memory // _GIB)
                self.put(("gpu",), [f"any>={gpu_gb}GB"], "hostRequirements", "gpu", "memory")
            if asked.gpu is not None and asked.gpu.cores:
                self.left_out.append("hostRequirements.gpu.cores")
            if asked.cpus:
                self.put(("min_vcpu_per_gpu",), asked.cpus, "hostRequirements", "cpus")
            if asked.memory:
                self.put(("min_ram_per_gpu_gb",), -(-asked.memory // _GIB), "hostRequirements", "memory")
        if asked.storage:
            size_gb = max(_SMALLEST_VOLUME_GB, -(-asked.storage // _GIB))
            self.put(("volume", "size_gb"), size_gb, "hostRequirements", "storage")

    def workspace(self) -> None:
        folder = self._found.workspace_folder
        if folder is None:
            return
        if not folder.startswith("/") or ".." in folder.split("/") or not folder.strip("/"):
            self.left_out.append("workspaceFolder")
        elif folder.startswith("/workspace/"):
            self.put(("workspace",), folder, "workspaceFolder")
        else:
            # There it would be wiped at every stop: a link leads to the volume.
            self.put(("workspace_alias",), folder, "workspaceFolder")

    def ports(self) -> None:
        wishes: dict[int, str] = {}
        for port in self._found.forward_ports:
            host, colon, number = str(port).rpartition(":")
            if (colon and host not in ("localhost", "127.0.0.1")) or not number.isdigit():
                self.left_out.append(f"forwardPorts {port}")
                continue
            label = self._found.labels.get(str(port)) or self._found.labels.get(number)
            wish = f"{label}={number}" if label else number
            wishes.setdefault(int(number), wish if FORM.fullmatch(wish) else number)
        if wishes:
            self.put(("forward_ports",), list(wishes.values()), "forwardPorts")

    def editor(self) -> None:
        source = ("customizations", "vscode", "extensions")
        fitting = [name for name in self._found.extensions if EXTENSION.fullmatch(name)]
        if fitting:
            self.put(("extensions",), fitting, *source)
        self.left_out += [f"extension {name}" for name in self._found.extensions if name not in fitting]
        above = ("customizations", "vscode") if "customizations" in self._found.raw else ()
        for name, value in self._found.settings.items():
            self.put(("settings", name), value, *above, "settings", name)

    def others(self) -> None:
        if self._found.remote_user not in _ROOT:
            self.left_out.append(f"remoteUser {self._found.remote_user} (everything runs as root)")
        self.left_out += sorted(key for key in self._found.raw if key not in _IDLE)

    def hooks(self) -> None:
        """Those of the pod. What a project wants to run on this machine, its user may run."""
        for stage, commands in self._found.hooks.items():
            if stage == "initializeCommand":
                self.left_out.append("initializeCommand (it would run here: do so yourself if you trust it)")
                continue
            lines = [each if isinstance(each, str) else shlex.join(each) for each in commands.values()]
            self.put(("hooks", _STAGES[stage]), lines, stage)
        if "waitFor" in self._found.raw and self._found.wait_for in _STAGES:
            self.put(("hooks", "wait_for"), _STAGES[self._found.wait_for], "waitFor")
