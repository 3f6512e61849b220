"""The shells and commands of SSH sessions: processes on pipes or on a terminal, and their bytes."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pwd
import signal
import struct
import subprocess
import termios
from collections.abc import Mapping
from typing import Any

import asyncssh

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CHUNK = 256 * 1024
# How long output that is already on its way may take after a terminal's first process has ended.
_LAST_WORDS_SECONDS = 0.5
# RFC 4254 section 8 and RFC 8160: opcode -> (index in the list of termios.tcgetattr, flag).
_TERMINAL_FLAGS = {
    36: (0, termios.ICRNL),
    38: (0, termios.IXON),
    42: (0, 0o40000),  # IUTF8, which the termios module does not name before 3.13
    50: (3, termios.ISIG),
    51: (3, termios.ICANON),
    53: (3, termios.ECHO),
    70: (1, termios.OPOST),
    72: (1, termios.ONLCR),
}


class Sessions:
    """Shells and commands, each with the environment that sshd gives."""

    async def run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        if process.subsystem:
            process.exit(1)  # sftp never comes here; nothing else is offered
            return
        terminal = process.term_type is not None
        try:
            child = _spawn_on_terminal(process, self._variables(process)) if terminal else None
            child = child or _spawn_on_pipes(process, self._variables(process))
        except OSError as error:
            process.stderr.write(f"{error.filename or 'fork'}: {error.strerror}\r\n".encode())
            process.exit(126)
            return
        await child.attend(process)

    def _variables(self, process: asyncssh.SSHServerProcess[bytes]) -> dict[str, str]:
        user = pwd.getpwuid(0)
        peer, own = process.get_extra_info("peername"), process.get_extra_info("sockname")
        variables = {
            "PATH": _PATH,
            **{name: value for name, value in process.env.items() if name == "LANG" or name.startswith("LC_")},
            "HOME": user.pw_dir,
            "USER": user.pw_name,
            "LOGNAME": user.pw_name,
            "SHELL": user.pw_shell or "/bin/sh",
            "SSH_CLIENT": f"{peer[0]} {peer[1]} {own[1]}",
            "SSH_CONNECTION": f"{peer[0]} {peer[1]} {own[0]} {own[1]}",
        }
        agent = process.channel.get_agent_path()
        if agent:
            variables["SSH_AUTH_SOCK"] = agent
        return variables


class _Outlet(asyncio.StreamReaderProtocol):
    """What a process shows, to its last byte: asyncio's own reader drops what came just before an error.

    There is an error at every terminal's end (EIO: nobody has it open any more).
    """

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(None)


class Child:
    """A process of a session; *inlet* takes what the client types, *outlets* are what it shows."""

    def __init__(self, process: subprocess.Popen[bytes], inlet: int, outlets: list[int], terminal: int | None) -> None:
        self._process = process
        self._inlet = inlet
        self._outlets = outlets
        self._terminal = terminal
        self._ended = asyncio.Event()
        self._watch = os.pidfd_open(process.pid)
        asyncio.get_running_loop().add_reader(self._watch, self._see_the_end)

    async def attend(self, session: asyncssh.SSHServerProcess[bytes]) -> None:
        """Carry bytes both ways until the process and its output have ended, then tell the client how."""
        writers = [session.stdout, session.stderr]
        carrying = [
            asyncio.ensure_future(self._carry_out(outlet, writer))
            for outlet, writer in zip(self._outlets, writers, strict=False)
        ]
        reading = asyncio.ensure_future(self._carry_in(session))
        gone = asyncio.ensure_future(session.wait_closed())
        try:
            # Silent processes are left as well when the client is gone: closing our ends is their hang-up.
            shown = asyncio.gather(*carrying)
            waiting: set[asyncio.Future[Any]] = {shown, gone}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            shown.cancel()
            await asyncio.gather(*carrying, return_exceptions=True)
            if not session.is_closing():
                await self._ended.wait()
                self._tell_the_end(session)
        finally:
            for task in (reading, gone):
                task.cancel()
            await asyncio.gather(reading, gone, return_exceptions=True)
            session.close()

    def _see_the_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._watch)
        os.close(self._watch)
        self._process.wait()
        self._ended.set()

    def _tell_the_end(self, session: asyncssh.SSHServerProcess[bytes]) -> None:
        code = self._process.returncode
        if code >= 0:
            session.exit(code)
        else:
            session.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))

    async def _carry_out(self, outlet: int, writer: asyncssh.SSHWriter[bytes]) -> None:
        reader = asyncio.StreamReader(limit=_CHUNK)
        protocol = _Outlet(reader)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(outlet, "rb", 0))
        try:
            while data := await self._next(reader):
                writer.write(data)
                await writer.drain()
        except (OSError, asyncssh.Error):
            return  # the client or the connection is gone
        finally:
            transport.close()

    async def _next(self, reader: asyncio.StreamReader) -> bytes:
        reading = asyncio.ensure_future(reader.read(_CHUNK))
        if self._terminal is not None:
            # A process left in the background may keep the terminal open for ever; the session ends with its leader.
            ended = asyncio.ensure_future(self._ended.wait())
            await asyncio.wait({reading, ended}, return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            if not reading.done():
                await asyncio.wait({reading}, timeout=_LAST_WORDS_SECONDS)
                # On a busy machine the time may be over in the very turn of the loop that brings them.
                for _ in range(3):
                    await asyncio.sleep(0)
            if not reading.done():
                reading.cancel()
                return b""
        return await reading

    async def _carry_in(self, session: asyncssh.SSHServerProcess[bytes]) -> None:
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(self._inlet, "wb", 0)
        transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, pipe)
        writer = asyncio.StreamWriter(transport, protocol, None, loop)
        try:
            while True:
                try:
                    data = await session.stdin.read(_CHUNK)
                except asyncssh.TerminalSizeChanged as size:
                    self._resize(size.width, size.height, size.pixwidth, size.pixheight)
                    continue
                except asyncssh.SignalReceived as received:
                    self._send(received.signal)
                    continue
                except asyncssh.BreakReceived:
                    self._send("INT")
                    continue
                if not data:
                    break
                writer.write(data)
                await writer.drain()
            if self._terminal is not None and not session.is_closing():
                writer.write(b"\x04")  # the client has no more input: what Ctrl-D says on a terminal
                await self._ended.wait()
        except (OSError, asyncssh.Error):
            return  # the process closed its end, or the connection is gone
        finally:
            # For a terminal this is the hang-up: with the last descriptor the kernel sends SIGHUP to the session.
            transport.close()

    def _resize(self, width: int, height: int, pixel_width: int, pixel_height: int) -> None:
        if self._terminal is not None and not self._ended.is_set():
            _set_size(self._terminal, (width, height, pixel_width, pixel_height))

    def _send(self, name: str) -> None:
        number = getattr(signal, f"SIG{name}", None)
        if number is not None and not self._ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


def _spawn_on_pipes(process: asyncssh.SSHServerProcess[bytes], variables: dict[str, str]) -> Child:
    child = subprocess.Popen(
        _command(process.command, variables),
        executable=variables["SHELL"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=variables["HOME"],
        env=variables,
        start_new_session=True,
    )
    assert child.stdin
    assert child.stdout
    assert child.stderr
    inlet, *outlets = (os.dup(stream.fileno()) for stream in (child.stdin, child.stdout, child.stderr))
    for stream in (child.stdin, child.stdout, child.stderr):
        stream.close()
    return Child(child, inlet, outlets, None)


def _spawn_on_terminal(process: asyncssh.SSHServerProcess[bytes], variables: dict[str, str]) -> Child:
    master, slave = os.openpty()
    try:
        _set_size(slave, process.term_size)
        _set_modes(slave, process.term_modes)
        variables["TERM"] = process.term_type or "dumb"
        variables["SSH_TTY"] = os.ttyname(slave)
        child = subprocess.Popen(
            _command(process.command, variables),
            executable=variables["SHELL"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=variables["HOME"],
            env=variables,
            start_new_session=True,
            preexec_fn=_take_the_terminal,  # no other thread runs here
        )
    except OSError:
        os.close(master)
        raise
    finally:
        os.close(slave)
    return Child(child, os.dup(master), [master], master)


def _command(command: str | None, variables: Mapping[str, str]) -> list[str]:
    name = os.path.basename(variables["SHELL"])  # noqa: PTH119
    # A leading dash makes it a login shell, as login(1) does.
    return [name, "-c", command] if command is not None else ["-" + name]


def _take_the_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _set_size(terminal: int, size: tuple[int, int, int, int]) -> None:
    width, height, pixel_width, pixel_height = size
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, pixel_width, pixel_height))


def _set_modes(terminal: int, modes: Mapping[int, int]) -> None:
    attributes = termios.tcgetattr(terminal)
    for opcode, (index, flag) in _TERMINAL_FLAGS.items():
        if opcode in modes:
            attributes[index] = attributes[index] | flag if modes[opcode] else attributes[index] & ~flag
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)
