"""A command running on the pod, as three streams."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from devpod_rp.ssh.address import Address, reason
from devpod_rp.ssh.errors import Unreachable
from devpod_rp.ssh.library import paramiko
from devpod_rp.ssh.transport import lost, translated

if TYPE_CHECKING:
    from typing_extensions import Buffer

log = logging.getLogger(__name__)

# paramiko's buffer moves everything that stays in it at each read, so each read takes all there is.
_TAKE_ALL = 64 * 1024 * 1024
_BUFFER_BYTES = 256 * 1024
_STDERR_KEPT_BYTES = 256 * 1024
# How long a channel that closed without a word may take to turn out as a lost connection.
_SETTLE_SECONDS = 1.0


class ExecChannel:
    """One command: write to *stdin*, read *stdout* and *stderr*, from any thread, one thread per stream.

    ``stdin.close()`` sends the end of file and leaves the outputs open. *stderr* is read all the time by a thread of
    its own, because both outputs share one flow-control window and an unread stderr would stop stdout; it keeps the
    newest 256 KiB. When the connection is lost, stdin and stdout raise :class:`Unreachable` instead of looking ended.
    """

    def __init__(
        self,
        channel: paramiko.Channel,
        address: Address,
        verdict: Callable[[], str | None],
        *,
        stderr_kept_bytes: int | None = _STDERR_KEPT_BYTES,
    ) -> None:
        self._channel = channel
        self._end = _End(channel, address, verdict)
        self.stdin = _Input(channel, self._end)
        self.stdout = io.BufferedReader(_Output(channel, self._end), _BUFFER_BYTES)
        self.stderr = io.BufferedReader(_Drained(channel, stderr_kept_bytes))

    def wait(self, timeout: float | None = None) -> int:
        """The exit code once the command has ended; -1 when a signal ended it. Read stdout before, or concurrently.

        Raises:
            Unreachable: the connection was lost, or *timeout* seconds passed.
        """
        if not self._channel.status_event.wait(timeout):
            raise Unreachable(f"the command on {self._end.address} did not end within {timeout:g} s.")
        if self._channel.exit_status == -1:
            self._end.demand_no_loss()
        return self._channel.exit_status

    @property
    def closed(self) -> bool:
        return self._channel.closed

    def close(self) -> None:
        """Give the command up: readers see the end of file at once, the pod's sshd hangs up on it."""
        self._end.closed_here = True
        try:
            self._channel.close()
        except (paramiko.SSHException, EOFError, OSError) as error:
            log.debug("event=close-failed reason=%r", reason(error))

    def __enter__(self) -> ExecChannel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class _End:
    """Why a channel has no more data: the command ended, we closed it, or the connection is lost."""

    def __init__(self, channel: paramiko.Channel, address: Address, verdict: Callable[[], str | None]) -> None:
        self.address = address
        self.closed_here = False
        self._channel = channel
        self._transport = channel.get_transport()
        self._verdict = verdict

    def demand_no_loss(self) -> None:
        """Raises :class:`Unreachable` if the channel ended because the connection did."""
        if self.closed_here or self._channel.eof_received or self._channel.exit_status != -1:
            return
        # A server may close a channel without an end of file or status (a command killed by a signal). paramiko
        # closes channels just before its thread ends, so a loss shows within moments.
        self._transport.join(_SETTLE_SECONDS)
        if not self._transport.is_alive():
            raise lost(self.address, self._verdict())

    @contextmanager
    def translated(self) -> Iterator[None]:
        with translated(self.address, self._verdict):
            yield


class _Input(io.RawIOBase):
    def __init__(self, channel: paramiko.Channel, end: _End) -> None:
        self._channel = channel
        self._end = end

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        """Send all of *data*, waiting while the command does not read.

        Raises:
            Unreachable: the command has ended, or the connection is lost.
        """
        if self.closed:
            raise ValueError("write to closed stdin")
        view = memoryview(data).cast("B")
        # paramiko keeps 64 bytes of each packet for itself.
        step = max(1, self._channel.out_max_packet_size - 64)
        offset = 0
        while offset < len(view):
            offset += self._send(bytes(view[offset : offset + step]))
        return len(view)

    def _send(self, piece: bytes) -> int:
        if self._channel.closed:
            sent = 0
        else:
            with self._end.translated():
                sent = self._channel.send(piece)
        if sent == 0 or not self._channel.get_transport().is_active():
            self._end.demand_no_loss()
            raise Unreachable(f"the command on {self._end.address} has ended and reads no more.")
        return sent

    def close(self) -> None:
        if not self.closed:
            super().close()
            with self._end.translated():
                self._channel.shutdown_write()


class _Output(io.RawIOBase):
    def __init__(self, channel: paramiko.Channel, end: _End) -> None:
        self._channel = channel
        self._end = end
        self._held = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        if not self._held:
            self._held = memoryview(self._receive())
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._held))
        target[:count] = self._held[:count]
        self._held = self._held[count:]
        return count

    def readall(self) -> bytes:
        pieces = [bytes(self._held)]
        self._held = memoryview(b"")
        while piece := self._receive():
            pieces.append(piece)
        return b"".join(pieces)

    def _receive(self) -> bytes:
        with self._end.translated():
            received = self._channel.recv(_TAKE_ALL)
        if not received:
            self._end.demand_no_loss()
        return received


class _Drained(io.RawIOBase):
    """stderr, read by its own thread; the newest *kept_bytes* wait for a reader (None: all of it)."""

    def __init__(self, channel: paramiko.Channel, kept_bytes: int | None) -> None:
        self._channel = channel
        self._kept_bytes = kept_bytes
        self._kept = bytearray()
        self._finished = False
        self._changed = threading.Condition()
        threading.Thread(target=self._drain, name=f"ssh-stderr {channel.get_id()}", daemon=True).start()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        target = memoryview(buffer).cast("B")
        with self._changed:
            self._changed.wait_for(lambda: self._kept or self._finished)
            count = min(len(target), len(self._kept))
            target[:count] = self._kept[:count]
            del self._kept[:count]
        return count

    def _drain(self) -> None:
        try:
            while received := self._channel.recv_stderr(_TAKE_ALL):
                with self._changed:
                    self._kept += received
                    if self._kept_bytes is not None:
                        del self._kept[: -self._kept_bytes]
                    self._changed.notify_all()
        except (paramiko.SSHException, EOFError, OSError) as error:
            log.debug("event=stderr-lost reason=%r", reason(error))  # stdout's reader raises
        finally:
            with self._changed:
                self._finished = True
                self._changed.notify_all()
