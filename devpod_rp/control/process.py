"""Starting and ending background processes of ours."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING

from devpod_rp import __version__, paths
from devpod_rp.control.client import KeeperNotRunning, KeeperRefused, KeeperSilent, keeper_request, keeper_version
from devpod_rp.control.endpoint import Endpoint, forget_endpoint, read_endpoint
from devpod_rp.errors import DevpodError

if TYPE_CHECKING:
    import psutil

START_SECONDS = 30.0
_POLL_SECONDS = 0.02
_ASK_SECONDS = 10.0
_TERM_SECONDS = 10.0
# psutil derives a process's start from the system's boot time, which clock corrections move a little.
_SAME_START_SECONDS = 1.0
_TAIL_BYTES = 2000

# Kept so that children which end while we live are reaped by poll() instead of warning about themselves.
_children: list[subprocess.Popen[bytes]] = []


class KeeperNotStarted(DevpodError):
    """The keeper died or did not answer in time; the message ends with what it logged last."""

    kind = "keeper-not-started"


def keeper_log_file(name: str) -> Path:
    """The keeper's own, rotating log."""
    return paths.environment_dir(name) / "keeper.log"


def keeper_lock_file(name: str) -> Path:
    """Locked by a living keeper, so that there is never a second one.

    Beside the environments, not in one: the directory of an environment is renamed away when it is removed.
    """
    return paths.environments_dir() / ".locks" / f"{name}.keeper.lock"


def spawn_detached(arguments: list[str], log: Path) -> int:
    """Start a process that outlives this one and its terminal; returns its pid.

    Its output is appended to *log* (0600), its input is empty, its working directory is the log's.
    """
    return _spawn(arguments, log).pid


def run_detached(arguments: list[str], log: Path) -> tuple[int, str]:
    """As `spawn_detached`, but wait for the end: the exit code and the last that the process wrote."""
    log.unlink(missing_ok=True)
    code = _spawn(arguments, log).wait()
    return code, _tail(log)


def start_keeper(name: str, *, timeout_seconds: float = START_SECONDS) -> None:
    """Return when a keeper of environment *name* answers, starting one if there is none.

    A keeper of another version of devpod_rp is replaced, and so is one that lives but does not answer (its socket may
    have been deleted under it): a keeper can be ended anywhere without losing anything.

    Raises:
        KeeperNotStarted: it ended, or did not answer within *timeout_seconds*.
    """
    # Read before asking: the endpoint is written once the keeper listens, so the one in it would have answered.
    endpoint = read_endpoint(name)
    running = keeper_version(name)
    if running == __version__:
        return
    if running is not None or (endpoint is not None and _living(endpoint) is not None):
        stop_keeper(name)
    output = paths.environment_dir(name) / "keeper-output.log"
    output.unlink(missing_ok=True)
    process = _spawn([sys.executable, "-m", "devpod_rp.keeper", name], output)
    deadline = time.monotonic() + timeout_seconds
    while keeper_version(name) is None:
        # Exit code 0 means that another keeper holds the lock: it will answer in a moment.
        if process.poll() not in (None, 0):
            raise _not_started(name, output, f"ended with code {process.returncode}")
        if time.monotonic() > deadline:
            raise _not_started(name, output, f"did not answer within {timeout_seconds:.0f} s")
        time.sleep(_POLL_SECONDS)


def stop_keeper(name: str, *, timeout_seconds: float = _ASK_SECONDS, term_seconds: float = _TERM_SECONDS) -> None:
    """Return when no keeper of environment *name* runs: asked to end, and ended by force if it does not listen.

    Only the very process that wrote the endpoint is ever ended, never another one that got its pid.
    """
    endpoint = read_endpoint(name)
    if endpoint is None:
        return
    process = _living(endpoint)
    try:
        keeper_request(name, "stop", timeout=timeout_seconds)
    except (KeeperNotRunning, KeeperSilent, KeeperRefused):
        asked = False
    else:
        asked = True
    if process is not None and not (asked and _ended(process, timeout_seconds)):
        _end(process, term_seconds)
    forget_endpoint(name, endpoint)


def _spawn(arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "wb") as output:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=log.parent,
            env=_environment(),
            start_new_session=True,
            creationflags=flags,
        )
    _children[:] = [child for child in _children if child.poll() is None] + [process]
    return process


def _environment() -> dict[str, str]:
    """Ours, with our relative paths made absolute, because the child works in another directory.

    It must find this very devpod_rp, also where it is not installed but run from a checkout.
    """
    environment = dict(os.environ)
    for variable in ("DEVPOD_RP_HOME", "DEVPOD_RP_SSH_CONFIG"):
        if environment.get(variable):
            environment[variable] = str(Path(environment[variable]).expanduser().absolute())
    root = str(Path(__file__).resolve().parents[2])
    if root not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        inherited = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = root + (os.pathsep + inherited if inherited else "")
    return environment


def _living(endpoint: Endpoint) -> psutil.Process | None:
    """The process that wrote *endpoint*, if it still lives."""
    import psutil

    try:
        process = psutil.Process(endpoint.pid)
        same = abs(process.create_time() - endpoint.create_time) < _SAME_START_SECONDS
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        # A process that we may not even look at is not one of ours.
        return None


def _ended(process: psutil.Process, timeout_seconds: float) -> bool:
    import psutil

    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        # psutil compares the start time too, so a new process of the same pid does not count as this one. A zombie is
        # dead; it only waits for its parent.
        try:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(_POLL_SECONDS)
    return False


def _end(process: psutil.Process, term_seconds: float) -> None:
    import psutil

    try:
        process.terminate()
        if not _ended(process, term_seconds):
            process.kill()
            _ended(process, _TERM_SECONDS)
    except psutil.NoSuchProcess:
        return


def _not_started(name: str, output: Path, what: str) -> KeeperNotStarted:
    said = (_tail(output) or _tail(keeper_log_file(name))).strip()
    return KeeperNotStarted(
        f"The keeper of {name} {what}." + (f" It said last:\n{said}" if said else ""),
        hint=f"its log is {keeper_log_file(name)}",
    )


def _tail(path: Path) -> str:
    if not path.exists():
        return ""
    return path.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace")
