"""Settings and extensions for a desktop editor's server on the pod; the latter once that server is there.

The editor brings its server when it connects for the first time, minutes after we were asked, so this program waits for
it in the background. What is installed already is left alone.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from typing import Any, Dict, List, Optional, Set

from devpod_rp.agent.servers import settings

# Folder of the home -> where its server's command may be, and how it is called (Remote-SSH with and without exec
# server, and the relatives of open-remote-ssh).
SERVERS = {
    "code": (".vscode-server", "code-server"),
    "code-insiders": (".vscode-server-insiders", "code-server-insiders"),
    "cursor": (".cursor-server", "cursor-server"),
    "windsurf": (".windsurf-server", "windsurf-server"),
    "codium": (".vscodium-server", "codium-server"),
}
_PLACES = ("cli/servers/*/server/bin", "bin/*/bin", "bin/*/*/bin")
_LOG = "/run/devpod_rp/extensions.log"
_WAITING = "/run/devpod_rp/extensions-{0}.lock"
_LOOK_SECONDS = 2.0
_AGAIN_SECONDS = 30.0


def main(stream: Any) -> None:
    """Read one line of JSON ``{ides, extensions, settings, seconds}``; extensions are seen to in the background."""
    request = json.loads(stream.readline().decode("utf-8"))
    missing: Dict[str, List[str]] = {}
    for ide in request["ides"]:
        problem = settings.bring(os.path.join(_home(None), SERVERS[ide][0], "data"), request["settings"])
        if problem is not None:
            sys.stderr.write(problem + "\n")
        lacking = [each for each in request["extensions"] if not _is_there(each, installed(ide))]
        if lacking:
            missing[ide] = lacking
    sys.stdout.write(json.dumps({"missing": missing}) + "\n")
    sys.stdout.flush()
    if missing and os.fork() == 0:
        os.setsid()
        os.makedirs(os.path.dirname(_LOG), mode=0o700, exist_ok=True)
        if not _first_to_wait(missing):
            return
        log = os.open(_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for descriptor, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(descriptor, target)
        for ide, lacking in missing.items():
            threading.Thread(target=see_to, args=(ide, lacking, request["seconds"]), name=ide).start()


def _first_to_wait(missing: Dict[str, List[str]]) -> bool:
    """Whether nobody waits for just this already; nobody else will as long as this process lives."""
    digest = hashlib.sha256(json.dumps(missing, sort_keys=True).encode("utf-8")).hexdigest()[:16]
    lock = os.open(_WAITING.format(digest), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def see_to(ide: str, extensions: List[str], seconds: float, home: Optional[str] = None) -> List[str]:
    """Install *extensions* as soon as the server of *ide* is there; gives those that could not be in *seconds*."""
    deadline = time.monotonic() + seconds
    left = list(extensions)
    while left:
        command = server_command(ide, home)
        if command is not None:
            left = [each for each in left if not _install(command, each, ide, home)]
        pause = _LOOK_SECONDS if command is None else _AGAIN_SECONDS
        if not left or time.monotonic() + pause > deadline:
            break
        time.sleep(pause)
    return left


def server_command(ide: str, home: Optional[str] = None) -> Optional[str]:
    """The command of the newest server of *ide*, None while there is none."""
    return max(server_commands(ide, home), key=os.path.getmtime, default=None)


def server_commands(ide: str, home: Optional[str] = None) -> List[str]:
    """The command of each server of *ide* that is there."""
    folder, name = SERVERS[ide]
    return [
        path
        for place in _PLACES
        for path in glob.glob(os.path.join(_home(home), folder, place, name))
        if os.access(path, os.X_OK)
    ]


def installed(ide: str, home: Optional[str] = None) -> Set[str]:
    """The names of the extensions that the server of *ide* has, lower case, without versions."""
    try:
        names = os.listdir(os.path.join(_home(home), SERVERS[ide][0], "extensions"))
    except FileNotFoundError:
        return set()
    return {_unversioned(name.lower()) for name in names}


def _unversioned(name: str) -> str:
    """ "ms-python.python-2026.1.0-linux-x64": the version begins at the first dash before a digit."""
    parts = name.split("-")
    end = next((index for index, part in enumerate(parts) if index and part[:1].isdigit()), len(parts))
    return "-".join(parts[:end])


def _install(command: str, extension: str, ide: str, home: Optional[str]) -> bool:
    if _is_there(extension, installed(ide, home)):
        return True
    environ: Dict[str, str] = dict(os.environ, HOME=_home(home))
    done = subprocess.run(
        [command, "--accept-server-license-terms", "--install-extension", extension],
        stdin=subprocess.DEVNULL,
        env=environ,
        check=False,
    )
    return done.returncode == 0


def _is_there(extension: str, present: Set[str]) -> bool:
    return extension.partition("@")[0].lower() in present


def _home(home: Optional[str]) -> str:
    return home or os.path.expanduser("~")
