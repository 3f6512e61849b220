"""A person at a terminal: a command with a pseudo-terminal, keys, and what is on the screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

from tests.end_to_end.conftest import World

UP, DOWN, ENTER, SPACE = "\x1b[A", "\x1b[B", "\r", " "
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()=>].?|\r")
_SECONDS = 60.0


class Terminal:
    """One command of *world*'s user, on a terminal of 160 columns."""

    def __init__(self, world: World, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        environ = {**world.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "devpod_rp", *arguments],
            cwd=world.folder, env=environ, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self._unread = ""
        self._everything = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def sees(self, *patterns: str) -> None:
        """Wait until each of *patterns* was written since the last keys, in this order."""
        deadline = time.monotonic() + _SECONDS
        for pattern in patterns:
            while (found := re.search(pattern, self._unread)) is None:
                assert time.monotonic() < deadline, f"no {pattern!r} in:\n{self._everything}"
                self._read()
            self._unread = self._unread[found.end() :]

    def types(self, *keys: str) -> None:
        self._unread = ""
        for key in keys:
            os.write(self._master, key.encode())
            self._read(0.3)  # a person's pace: the command shows what the key did

    def ends(self) -> int:
        """The exit code."""
        deadline = time.monotonic() + _SECONDS
        while self._process.poll() is None:
            assert time.monotonic() < deadline, self._everything
            self._read()
        return self._process.returncode

    def _read(self, seconds: float = 0.1) -> None:
        if select.select([self._master], [], [], seconds)[0]:
            try:
                text = os.read(self._master, 1 << 16).decode("utf-8", "replace")
            except OSError:
                return  # the command has closed its end
            clean = _CONTROLS.sub("", text)
            self._unread += clean
            self._everything += clean
