"""A link to a pod that is far away: a TCP relay that counts bytes and delivers them half a round trip later."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from types import TracebackType

from devpod_rp.ssh.address import Address

_READ_BYTES = 256 << 10
_WINDOW_BYTES = 16 << 20


class FarRelay:
    """Listens in front of *target*, in a thread of its own, until the block is left."""

    def __init__(self, target: Address, rtt_seconds: float) -> None:
        self._target = target
        self._delay = rtt_seconds / 2
        self._passed = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="far-relay", daemon=True)
        self.address = target

    def count(self) -> int:
        """Bytes that passed in both directions since the last call."""
        passed, self._passed = self._passed, 0
        return passed

    def __enter__(self) -> FarRelay:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.address = dataclasses.replace(self._target, port=server.sockets[0].getsockname()[1])
        self._ready.set()
        self._loop.run_forever()

    async def _accept(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, forth = await asyncio.open_connection(self._target.host, self._target.port)
        await asyncio.gather(self._pass(near, forth), self._pass(far, back), return_exceptions=True)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_WINDOW_BYTES // _READ_BYTES)
        delivering = asyncio.create_task(self._deliver(waiting, sink))
        try:
            while data := await source.read(_READ_BYTES):
                self._passed += len(data)
                await waiting.put((self._loop.time() + self._delay, data))
        finally:
            await waiting.put((0.0, b""))
            await delivering

    async def _deliver(self, waiting: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter) -> None:
        while True:
            due, data = await waiting.get()
            if not data:
                break
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            sink.write(data)
            await sink.drain()
        sink.close()
