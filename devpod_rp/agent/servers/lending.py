"""git on the pod asks for HTTPS credentials, and the launcher's machine answers; nothing of them is ever stored here.

A program of its own beside the agent. It reads one line of JSON ``{hosts}`` after its own sources and leaves a helper
for git and a socket below ``/run``, both for this user only. Whoever runs the helper is connected to the socket, its
question goes out as a JSON line behind a mark that tells it from what a shell prints, and the answer comes in as a
line. With the connection this program ends, and the socket with it: git then asks its user, as without us.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import sys
import threading
from typing import Any, Set

from devpod_rp.agent.files.atomic import write_atomically

MARK = "\0devpod_rp lending "
RUN = "/run/devpod_rp"
HELPER = RUN + "/git-credential"
ATTRIBUTES = ("protocol", "host", "path", "username")
_SOCKET = RUN + "/git-credential.sock"
_LARGEST = 1 << 16
_SECONDS = 60.0

# gitcredentials(7): the helper is run with the operation as its last word and reads attributes on standard input.
# "store" and "erase" are for those who keep something.
_HELPER = """#!{python} -IS
import socket, sys
if sys.argv[1:] == ["get"]:
    line = socket.socket(socket.AF_UNIX)
    line.settimeout({seconds})
    try:
        line.connect({path!r})
        line.sendall(sys.stdin.buffer.read())
        line.shutdown(socket.SHUT_WR)
        with line.makefile("rb") as answer:
            sys.stdout.buffer.write(answer.read())
    except OSError:
        pass  # nobody is connected: git goes on to its next helper, or asks
"""


def main(stream: Any) -> None:
    """Serve git until *stream*, from which the answers come, ends."""
    hosts = set(json.loads(stream.readline().decode("utf-8"))["hosts"])
    os.makedirs(RUN, mode=0o700, exist_ok=True)
    helper = _HELPER.format(python=sys.executable, seconds=_SECONDS, path=_SOCKET)
    write_atomically(HELPER, helper.encode("utf-8"), mode=0o700)
    answers: "queue.Queue[bytes]" = queue.Queue()
    with socket.socket(socket.AF_UNIX) as server:
        # Another connection's socket gives way: the newest launcher lends.
        draft = "{0}.{1}".format(_SOCKET, os.getpid())
        server.bind(draft)
        os.chmod(draft, 0o600)
        server.listen(8)
        ours = os.stat(draft).st_ino
        threading.Thread(target=_listen, args=(stream, answers, ours), name="answers", daemon=True).start()
        os.rename(draft, _SOCKET)
        while True:
            asker, _ = server.accept()
            with asker:
                asker.settimeout(_SECONDS)
                try:
                    asker.sendall(_answer(asker, hosts, answers))
                except OSError:
                    continue  # who asked is gone


def _listen(stream: Any, answers: "queue.Queue[bytes]", ours: int) -> None:
    for line in iter(stream.readline, b""):
        answers.put(line)
    # Nobody answers any more; what waits in accept(2) has nothing to clean up but its name.
    if os.path.exists(_SOCKET) and os.stat(_SOCKET).st_ino == ours:
        os.unlink(_SOCKET)
    os._exit(0)


def _answer(asker: socket.socket, hosts: Set[str], answers: "queue.Queue[bytes]") -> bytes:
    """What git is told, in its own lines; nothing where nobody lends for that host."""
    with asker.makefile("rb") as question:
        lines = question.read(_LARGEST).decode("utf-8", "replace").splitlines()
    asked = dict(line.split("=", 1) for line in lines if "=" in line)
    if asked.get("protocol") != "https" or asked.get("host") not in hosts:
        return b""
    wanted = {name: asked[name] for name in ATTRIBUTES if name in asked}
    sys.stdout.write(MARK + json.dumps(wanted) + "\n")
    sys.stdout.flush()
    try:
        lent = json.loads(answers.get(timeout=_SECONDS).decode("utf-8"))
    except queue.Empty:
        return b""
    return "".join("{0}={1}\n".format(name, value) for name, value in lent.items()).encode("utf-8")
