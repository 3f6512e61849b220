"""Bringing up a server for a browser on the pod's loopback: VS Code (code-server) or JupyterLab.

A program of its own beside the agent, because an installation takes minutes. It reads one line of JSON after its own
sources and writes JSON lines, each behind a mark that tells them from what a shell prints: ``{"say": …}`` while it
works, at the end ``{"port": …}`` or ``{"error": …}``. Programs and data lie on the volume, so that a later start
downloads nothing; what belongs to this start (port, secret, log) lies below ``/run``.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import Any, Dict, List, NamedTuple, Optional

from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.agent.machine.container import beginning
from devpod_rp.agent.servers import settings
from devpod_rp.agent.servers.installing import InstallFailed, Say, is_whole, unpacked, virtual_environment

MARK = "\0devpod_rp serving "
RUN = "/run/devpod_rp"
_START_SECONDS = 120.0
_ANSWER_SECONDS = 5.0
_END_SECONDS = 10.0
_LOOK_SECONDS = 0.1
_LOG_TAIL_BYTES = 2000
# The user's from then on. The chat, and the side bar that is made for it, ask for an account of a service that
# code-server cannot use.
_FIRST_SETTINGS = {
    "chat.disableAIFeatures": True,
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "workbench.startupEditor": "none",
}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class Plan(NamedTuple):
    """How a server is run: *argv* with ``{port}`` to be filled in, and the private *files* that it reads."""

    argv: List[str]
    environ: Dict[str, str]
    files: Dict[str, str]
    health: str


def main(stream: Any) -> None:
    """Carry out the request that is left on *stream*."""
    request = json.loads(stream.readline().decode("utf-8"))
    try:
        answer: Dict[str, Any] = {"port": bring_up(request, _say)}
    except (InstallFailed, OSError) as error:
        answer = {"error": str(error)}
    _write(answer)


def bring_up(request: Dict[str, Any], say: Say, run: str = RUN) -> int:
    """The port on the loopback at which the server that *request* describes answers; it is started if need be.

    One at a time: who comes second finds the first one's server.

    Raises:
        InstallFailed: it could not be installed, or does not start.
    """
    service = request["service"]
    os.makedirs(run, mode=0o700, exist_ok=True)
    with open(os.path.join(run, service + ".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        plan = {"code-server": _code_server, "jupyter": _jupyter}[service](request, run, say)
        wanted = hashlib.sha256(json.dumps(plan).encode("utf-8")).hexdigest()
        known = _known(os.path.join(run, service + ".json"))
        if known is not None and _lives(known):
            if known["plan"] == wanted and _answers(known["port"], plan.health):
                return int(known["port"])
            _end(known)
        return _start(service, plan, wanted, run, say)


# What is run.


def _code_server(request: Dict[str, Any], run: str, say: Say) -> Plan:
    program = _code_server_program(request, say)
    data = os.path.join(request["home"], ".devpod", "code-server")
    extensions = os.path.join(data, "extensions")
    os.makedirs(extensions, mode=0o700, exist_ok=True)
    own = os.path.join(data, "User", "settings.json")
    if not os.path.exists(own):
        write_atomically(own, json.dumps(_FIRST_SETTINGS, indent=2).encode("ascii"))
    problem = settings.bring(data, request["settings"])
    if problem is not None:
        say(problem)
    configuration = os.path.join(run, "code-server.yaml")
    # Nothing but what is said here: the user's own configuration of code-server is for the one they start.
    common = ["--config", configuration, "--user-data-dir", data, "--extensions-dir", extensions]
    write_atomically(configuration, "password: {0}\n".format(request["secret"]).encode("ascii"))
    _install_extensions(program, common, extensions, request["extensions"], say)
    # code-server touches it while a browser is connected, which keeps the pod from counting as idle.
    _link(os.path.join(run, "code-server-heartbeat"), os.path.join(data, "heartbeat"))
    flags = ["--disable-telemetry", "--disable-update-check", "--disable-workspace-trust"]
    flags += ["--disable-getting-started-override", "--cookie-suffix", request["cookie"]]
    argv = [program, *common, "--bind-addr", "127.0.0.1:{port}", "--auth", "password", *flags, request["workspace"]]
    return Plan(argv, {}, {configuration: "password: {0}\n".format(request["secret"])}, "/healthz")


def _code_server_program(request: Dict[str, Any], say: Say) -> str:
    archive = request["archive"]
    place = os.path.join(request["home"], ".devpod_rp", "programs", "code-server-" + archive["version"])
    program = os.path.join(place, "bin", "code-server")
    if not os.path.exists(program):
        ready = shutil.which("code-server")
        if ready is not None:
            return ready
        architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
        if architecture not in archive["sha256"]:
            raise InstallFailed("there is no code-server for {0}".format(platform.machine()))
        url = archive["url"].replace("{version}", archive["version"]).replace("{arch}", architecture)
        unpacked(place, url, archive["sha256"][architecture], "code-server " + archive["version"], say)
    return program


def _install_extensions(program: str, common: List[str], folder: str, wanted: List[str], say: Say) -> None:
    present = {name.lower().rpartition("-")[0] for name in os.listdir(folder)}
    noted = os.path.join(folder, ".devpod-installed")
    before = _lines(noted)
    for extension in wanted:
        if extension in before or extension.partition("@")[0].lower() in present:
            continue
        say("Installing the extension {0}".format(extension))
        done = subprocess.run(
            [program, *common, "--install-extension", extension],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode == 0:
            before.append(extension)
            write_atomically(noted, "".join(line + "\n" for line in before).encode("utf-8"))
        else:
            # An editor without one of its extensions is better than none.
            words = done.stdout.decode("utf-8", "replace").strip().splitlines()
            say("The extension {0} was not installed: {1}".format(extension, words[-1] if words else "no reason given"))


def _jupyter(request: Dict[str, Any], run: str, say: Say) -> Plan:
    data = os.path.join(request["home"], ".devpod", "jupyter")
    os.makedirs(data, mode=0o700, exist_ok=True)
    # Nobody is asked for news of the project before the first cell.
    quiet = os.path.join(data, "settings", "@jupyterlab", "apputils-extension", "notification.jupyterlab-settings")
    if not os.path.exists(quiet):
        write_atomically(quiet, b'{"fetchNews": "false"}\n')
    configuration = os.path.join(run, "jupyter_config.py")
    secret = "c.IdentityProvider.token = {0!r}\n".format(request["secret"])
    write_atomically(configuration, secret.encode("ascii"))
    argv = [*_jupyter_program(request, say), "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port={port}"]
    argv += ["--ServerApp.port_retries=0", "--ServerApp.root_dir=" + request["workspace"], "--config=" + configuration]
    environ = {
        "JUPYTERLAB_SETTINGS_DIR": os.path.join(data, "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": os.path.join(data, "workspaces"),
    }
    return Plan(argv, environ, {configuration: secret}, "/api")


def _jupyter_program(request: Dict[str, Any], say: Say) -> List[str]:
    requirement = request["requirement"]
    place = os.path.join(request["home"], ".devpod_rp", "programs", requirement.replace("==", "-"))
    if not is_whole(place):
        # The images of RunPod bring one, in the environment whose packages the notebooks are meant to use.
        ready = shutil.which("jupyter-lab")
        if ready is not None:
            return [ready]
        virtual_environment(place, requirement, say)
    return [os.path.join(place, "bin", "python"), "-m", "jupyterlab"]


# Running it.


def _start(service: str, plan: Plan, wanted: str, run: str, say: Say) -> int:
    say("Starting {0}".format(service))
    port = _free_port()
    log = os.path.join(run, service + ".log")
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [argument.replace("{port}", str(port)) for argument in plan.argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=dict(os.environ, **plan.environ),
            start_new_session=True,
        )
    state = {"pid": process.pid, "began": beginning(process.pid), "port": port, "plan": wanted}
    write_atomically(os.path.join(run, service + ".json"), json.dumps(state).encode("ascii"))
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(port, plan.health):
        if process.poll() is not None:
            raise InstallFailed("{0} ended with code {1}: {2}".format(service, process.returncode, _tail(log)))
        if time.monotonic() > deadline:
            _end(state)
            raise InstallFailed("{0} did not answer in {1:.0f} s: {2}".format(service, _START_SECONDS, _tail(log)))
        time.sleep(_LOOK_SECONDS)
    return port


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False  # not up yet, or no longer
    finally:
        connection.close()


def _known(path: str) -> Optional[Dict[str, Any]]:
    try:
        with open(path, encoding="ascii") as stream:
            state: Dict[str, Any] = json.load(stream)
            return state
    except FileNotFoundError:
        return None


def _lives(state: Dict[str, Any]) -> bool:
    return state["began"] is not None and beginning(state["pid"]) == state["began"]


def _end(state: Dict[str, Any]) -> None:
    """End the server and what it started; it leads a session of its own."""
    deadline = time.monotonic() + _END_SECONDS
    number = signal.SIGTERM
    while _lives(state):
        try:
            os.killpg(state["pid"], number)
        except ProcessLookupError:
            return
        if time.monotonic() > deadline:
            number = signal.SIGKILL
        time.sleep(_LOOK_SECONDS)


def _link(path: str, target: str) -> None:
    if not os.path.islink(path) or os.readlink(path) != target:
        if os.path.lexists(path):
            os.unlink(path)
        os.symlink(target, path)


def _lines(path: str) -> List[str]:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read().splitlines()
    except FileNotFoundError:
        return []


def _tail(path: str) -> str:
    with open(path, "rb") as stream:
        stream.seek(max(0, os.path.getsize(path) - _LOG_TAIL_BYTES))
        return stream.read().decode("utf-8", "replace").strip()


def _say(text: str) -> None:
    _write({"say": text})


def _write(document: Dict[str, Any]) -> None:
    sys.stdout.write(MARK + json.dumps(document) + "\n")
    sys.stdout.flush()
