"""A connection to this very machine: commands run in a shell here, over pipes instead of SSH."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path


class LocalChannel:
    """A command with the streams of an exec channel; closing it hangs up as a dying sshd would."""

    def __init__(self, command: str, environment: Mapping[str, str], folder: Path | None, before: str) -> None:
        self.process = subprocess.Popen(
            ["sh", "-c", before + command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
        assert self.process.stdin
        assert self.process.stdout
        assert self.process.stderr
        self.stdin, self.stdout, self.stderr = self.process.stdin, self.process.stdout, self.process.stderr
        self._closed = False

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            os.close(os.dup(self.stdin.fileno()))
            self.stdin.raw.close()  # type: ignore[attr-defined]
        except (OSError, ValueError):
            pass


class LocalConnection:
    """Starts commands on this machine. *before* is shell code run first, as a start file of the login shell would."""

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        before: str = "",
    ) -> None:
        self._environment = dict(os.environ) if environment is None else environment
        self._folder = folder
        self._before = before
        self.channels: list[LocalChannel] = []
        self.closed = False

    def channel(self, command: str) -> LocalChannel:
        channel = LocalChannel(command, self._environment, self._folder, self._before)
        self.channels.append(channel)
        return channel

    def close(self) -> None:
        """End everything that was started, as a closed SSH connection does."""
        self.closed = True
        for channel in self.channels:
            channel.close()
            try:
                channel.process.wait(10)
            except subprocess.TimeoutExpired:
                channel.kill()
                channel.process.wait(10)
