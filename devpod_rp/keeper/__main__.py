"""``python -m devpod_rp.keeper NAME``: the real parts, put together.

Ends with code 0 when it was told to, when its environment is gone, or when another keeper is there already.
"""

from __future__ import annotations

import faulthandler
import logging
import logging.handlers
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from devpod_rp import environments, paths
from devpod_rp.control import keeper_lock_file, keeper_log_file, run_detached
from devpod_rp.environments import Environment, Forward
from devpod_rp.errors import DevpodError, ExitCode, UnreachableError
from devpod_rp.keeper.memory import keep_small
from devpod_rp.keeper.overseer import Oversight
from devpod_rp.keeper.parts import Parts
from devpod_rp.keeper.service import Keeper
from devpod_rp.keeper.state import Timing

if TYPE_CHECKING:
    from devpod_rp.lifecycle.money.runway import Runway
    from devpod_rp.pod.link import AgentLink

_LOG_BYTES = 1_000_000
_OLD_LOGS = 3
_ENDED = b"\0"  # the number of no signal

log = logging.getLogger("devpod_rp.keeper")


def main(arguments: Sequence[str]) -> int:
    """Run the keeper of the environment that is named by the one argument, until the end."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m devpod_rp.keeper NAME\n")
        return int(ExitCode.USAGE)
    (name,) = arguments
    faulthandler.enable()
    try:
        environments.load(name)
        with FileLock(keeper_lock_file(name), timeout=0):
            _log_to_file(name)
            return _serve(name)
    except Timeout:
        return int(ExitCode.DONE)
    except DevpodError as error:
        sys.stderr.write(f"{error.message}\n")
        return int(error.exit_code)


def _serve(name: str) -> int:
    keeper = Keeper(name, real_parts())
    keep_small()
    failed: list[BaseException] = []
    # The main thread only waits for news, so that a signal never finds it holding a lock. A signal's number is written
    # to the socket whatever this thread is about to do, and stays there until it is read.
    heard, said = socket.socketpair()
    said.setblocking(False)

    def run() -> None:
        try:
            keeper.run()
        except BaseException as error:
            log.exception("keeper=died")
            failed.append(error)
        finally:
            said.send(_ENDED)

    signal.set_wakeup_fd(said.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    loop = threading.Thread(target=run, name="devpod-rp-keeper")
    loop.start()
    with heard, said:
        while heard.recv(1) != _ENDED:
            keeper.stop()
        loop.join()
        signal.set_wakeup_fd(-1)
    return int(ExitCode.UNEXPECTED if failed else ExitCode.DONE)


def real_parts() -> Parts:
    """The cloud, SSH, the session and the watcher as they are; imported here, so that tests need none of them."""
    from devpod_rp.desktop import notify
    from devpod_rp.lifecycle import limits
    from devpod_rp.lifecycle.reach.connect import open_link
    from devpod_rp.lifecycle.reach.syncing import open_session
    from devpod_rp.lifecycle.risk.stakes import stake
    from devpod_rp.sync.watch import Watcher

    oversight = Oversight(
        limits_of=limits.limits_of,
        deliver=_deliver,
        end=_end_pod,
        runway_of=_runway_of,
        stake_of=stake,
        rescue=_rescue,
    )
    return Parts(
        open_session=open_session,
        watch=Watcher,
        refresh=_refresh,
        revive=_revive,
        # The keeper's own heartbeat asks as often, so that this one never has to.
        open_link=lambda environment: open_link(environment, keepalive_seconds=Timing().ping_seconds),
        notify=notify,
        oversight=oversight,
        serve=_bring_up,
        credentials=_credentials,
    )


def _bring_up(environment: Environment, link: AgentLink, forward: Forward, say: Callable[[str], None]) -> int:
    from devpod_rp.editors import services

    return services.bring_up(environment, link.connection, forward, say)


def _credentials(environment: Environment, question: Mapping[str, str]) -> dict[str, str]:
    from devpod_rp.lifecycle.furnishing import git_credentials

    return git_credentials.answer(question, environment.spec["git_credentials"], Path(environment.folder))


def _deliver(environment: Environment, link: AgentLink) -> None:
    from devpod_rp.lifecycle import limits

    _leave_alone(environment)
    limits.deliver(environment, link)


def _runway_of(environment: Environment) -> Runway:
    from devpod_rp.lifecycle.account import clouds
    from devpod_rp.lifecycle.money import bills

    _leave_alone(environment)
    with clouds.client_of(environment) as client:
        return bills.runway_of(client)


def _end_pod(name: str) -> str | None:
    """Stop the pod as its user would, in a process that outlives this keeper, which the stop ends."""
    return _done_by_command(name, ["stop", name, "--rescue"], "limit-stop.log")


def _rescue(name: str) -> str | None:
    """Save what is at risk to the volume, as the user would; the pod runs on."""
    return _done_by_command(name, ["rescue", name], "rescue.log")


def _done_by_command(name: str, words: list[str], said_in: str) -> str | None:
    """None if the command did it, else why not."""
    code, said = run_detached([sys.executable, "-m", "devpod_rp", *words], paths.environment_dir(name) / said_in)
    if code == 0:
        return None
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    return lines[-1].removeprefix("error: ") if lines else f"devpod-rp {words[0]} ended with code {code}"


def _refresh(environment: Environment) -> Environment:
    """Where the pod is now."""
    from devpod_rp.lifecycle.reach import address

    _leave_alone(environment)
    return address.refresh(environment)


def _revive(environment: Environment) -> Environment:
    from devpod_rp.lifecycle import preemption

    return preemption.revive(environment)


def _leave_alone(environment: Environment) -> None:
    """A local cloud that does not run is left alone: starting it would start pods."""
    from devpod_rp.lifecycle.account import clouds

    if environment.cloud == "local" and clouds.local_cloud_running() is None:
        raise UnreachableError("the local cloud does not run")


def _log_to_file(name: str) -> None:
    handler = logging.handlers.RotatingFileHandler(
        keeper_log_file(name), maxBytes=_LOG_BYTES, backupCount=_OLD_LOGS, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for chatty in ("paramiko", "httpx", "httpcore", "filelock"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
