"""The ``ProxyCommand`` of an environment with ``auto_start``: connects, and starts what sleeps if a person asks.

``ssh`` runs this file by itself for every connection, so it imports the least that Python has, and nothing of ours.

Editors, synchronisations and tunnels connect again in the background for hours. If that started a pod, no pod would
ever stay stopped (github.com/coder/internal, issue 590), so only an ``ssh`` starts one that has a terminal for its
messages, is in its foreground, and is asked for more than a tunnel. A loop in a terminal (``while true; do ssh NAME;
done``) looks like that, too, but comes again at once: where a connection ended a short while ago, a key is asked for.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time

_CHUNK = 1 << 18
# A stopped pod's port is closed or belongs to somebody else; a running one answers within a round trip.
_CONNECT_SECONDS = 4.0
# ssh(1): the options that take a value, and those that make it a tunnel.
_WITH_VALUE = set("BbcDEeFIiJLlmOoPpQRSWw")
_TUNNEL = set("NfTDWO")
_FAILED = 255
# Who waits longer than this between two turns of a loop does not mean a loop.
_LOOP_SECONDS = 300.0
_ANSWER_SECONDS = 60.0


def main(arguments: "list[str]") -> int:
    """*arguments*: address, port, alias, environment, a file for notes, and as ``NAME=VALUE`` where our files are."""
    host, port, alias, name, notes, *variables = arguments
    terminal = _terminal()

    def ended(_number: int, _frame: object) -> None:
        _note(notes, terminal)
        os._exit(_FAILED)

    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up is not None:
        signal.signal(hang_up, ended)  # how ssh ends us, in the middle of whatever it is
    try:
        connection = _connected(host, int(port))
        if connection is None:
            reason = _nobody_asks(alias) or _only_a_loop(name, terminal, notes)
            if reason is not None:
                _say(f"{name} does not answer, and is not started: {reason}. devpod-rp up {name} starts it.")
                return _FAILED
            _say(f"{name} does not answer; starting it (auto_start). Ctrl-C stops that.")
            address = _started(name, dict(each.split("=", 1) for each in variables))
            connection = _connected(*address) if address else None
            if connection is None:
                _say(f"{name} could not be started.")
                return _FAILED
        _relay(connection)
        return 0
    finally:
        if hang_up is not None:
            signal.signal(hang_up, signal.SIG_IGN)
        _note(notes, terminal)


def _connected(host: str, port: int) -> "socket.socket | None":
    try:
        connection = socket.create_connection((host, port), timeout=_CONNECT_SECONDS)
    except OSError:
        return None
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _nobody_asks(alias: str) -> "str | None":
    """Why this is no person who waits for a shell; None if it is one."""
    if not sys.stderr.isatty():
        return "nobody at a terminal asks for it"
    if os.name == "nt":
        return None
    try:
        if os.tcgetpgrp(2) != os.getpgrp():
            return "this is a background job"
    except OSError:
        pass  # a terminal without job control has no background
    words = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(os.getppid())], capture_output=True, text=True, check=False
    ).stdout.split()
    return "this is only a tunnel, or nobody may be asked" if unattended(words[1:], alias) else None


def _terminal() -> "str | None":
    """What tells the terminal that our messages go to, and the shell there, from every other."""
    try:
        return f"{os.ttyname(2)} {os.getsid(0)}" if os.name != "nt" else "console"
    except OSError:
        return None


def _only_a_loop(name: str, terminal: "str | None", notes: str) -> "str | None":
    """Why nobody may be behind what comes from a terminal; None if somebody is, who is asked for Enter if need be."""
    if not lately(notes, terminal, time.time()):
        return None
    _say(f"{name} does not answer, and a connection from this terminal ended a short while ago.")
    _say(f"Enter starts it; Ctrl-C, or {_ANSWER_SECONDS:.0f} s without an answer, leaves it stopped.")
    return None if _entered(_ANSWER_SECONDS) else "nobody said so, and this may be a loop"


def lately(notes: str, terminal: "str | None", now: float) -> bool:
    """Whether *notes* say that a connection from *terminal* ended a short while before *now*."""
    return any(each == terminal for each, _ in _noted(notes, now))


def _noted(notes: str, now: float) -> "list[tuple[str, float]]":
    """The terminals from which a connection ended a short while before *now*, and when."""
    try:
        with open(notes, encoding="utf-8") as stream:  # noqa: PTH123 - pathlib takes as long to load as all of this
            pairs = [line.rstrip("\n").rpartition(" ") for line in stream]
        found = [(terminal, float(moment)) for terminal, _, moment in pairs]
    except (OSError, ValueError):
        return []  # there are none yet, or they were cut off
    return [(terminal, moment) for terminal, moment in found if 0 <= now - moment < _LOOP_SECONDS]


def _note(notes: str, terminal: "str | None") -> None:
    """Note that a connection from *terminal* ended now."""
    if terminal is None:
        return
    now = time.time()
    kept = [(each, moment) for each, moment in _noted(notes, now) if each != terminal]
    try:
        with open(notes, "w", encoding="utf-8") as stream:  # noqa: PTH123
            stream.write("".join(f"{each} {moment}\n" for each, moment in [*kept, (terminal, now)]))
    except OSError:
        return  # the environment was deleted meanwhile, or the disk is full: then the next one is not asked


def _entered(seconds: float) -> bool:
    """Whether somebody presses Enter at the terminal within *seconds*."""
    if os.name == "nt":
        return True  # no terminal can be read here while ssh has it
    with open("/dev/tty", "rb", buffering=0) as keyboard:  # noqa: PTH123
        return bool(select.select([keyboard], [], [], seconds)[0] and keyboard.read(1024))


def unattended(words: "list[str]", alias: str) -> bool:
    """Whether ``ssh`` with these *words* is a tunnel to *alias*, or has nobody to answer it.

    ``ps`` does not say where a word ends that holds blanks, so what is no option before the destination is passed over.
    A destination that is spelled in some other way ends nothing: then rather too much counts as an option.
    """
    arrived = False
    for position, word in enumerate(words):
        if not word.startswith("-"):
            # ssh takes options behind the destination, too; what follows them is the command.
            if arrived and not _takes_next(words[position - 1]):
                return False
            arrived = arrived or word == alias or word.endswith("@" + alias)
            continue
        for index, letter in enumerate(word[1:], 1):
            if letter in _TUNNEL:
                return True
            if letter in _WITH_VALUE:
                value = word[index + 1 :] or "".join(words[position + 1 : position + 2])
                if letter == "o" and value.lower() in ("batchmode=yes", "sessiontype=none"):
                    return True
                break
    return False


def _takes_next(word: str) -> bool:
    """Whether *word* is an option whose value is the word after it."""
    return word.startswith("-") and word[-1:] in _WITH_VALUE and not _WITH_VALUE & set(word[1:-1])


def _started(name: str, variables: "dict[str, str]") -> "tuple[str, int] | None":
    """Bring the environment up, its progress on stderr; where its SSH server answers then, None if it did not come."""
    import json

    done = subprocess.run(
        [sys.executable, "-m", "devpod_rp", "up", name, "--yes", "--json"],
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=False,
    )
    said = json.loads(done.stdout or b"{}")
    if done.returncode != 0:
        error = said.get("error") or {}
        for text in (error.get("message"), error.get("hint")):
            if text:
                _say(text)
        return None
    return said["ssh"]["host"], said["ssh"]["port"]


def _relay(connection: socket.socket) -> None:
    """Carry bytes both ways until the server hangs up, or ``ssh`` ends this process."""
    if os.name == "nt":
        import msvcrt

        for stream in (0, 1):
            msvcrt.setmode(stream, os.O_BINARY)  # type: ignore[attr-defined,unused-ignore]

    def upstream() -> None:
        try:
            while data := os.read(0, _CHUNK):
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            return  # the server is gone, which the other direction notices

    threading.Thread(target=upstream, daemon=True).start()
    try:
        while data := connection.recv(_CHUNK):
            view = memoryview(data)
            while view:
                view = view[os.write(1, view) :]
    except OSError:
        return  # either end is gone: ssh says so itself


def _say(text: str) -> None:
    sys.stderr.write(f"devpod-rp: {text}\r\n")
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    # The thread that reads ssh's pipe would hold an ordinary exit.
    os._exit(code)
