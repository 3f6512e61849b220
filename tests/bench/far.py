"""A link to a pod that is far away: a TCP relay that counts bytes and delivers them half a round trip later."""

from __future__ import annotations

import asyncio
import dataclasses
import multiprocessing
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from types import TracebackType

from devpod_rp.ssh.address import Address

_READ_BYTES = 256 << 10
_WINDOW_BYTES = 16 << 20
_START_SECONDS = 30.0

_spawning = multiprocessing.get_context("spawn")


class FarRelay:
    """Listens in front of *target*, in a process of its own (it must not slow down what it measures), until the block
    is left."""

    def __init__(self, target: Address, rtt_seconds: float) -> None:
        self._passed: Synchronized[int] = _spawning.Value("q", 0)
        self._port, child = _spawning.Pipe(duplex=False)
        self._process = _spawning.Process(
            target=_relay, args=(target.host, target.port, rtt_seconds / 2, child, self._passed), daemon=True
        )
        self.address = target

    def count(self) -> int:
        """Bytes that passed in both directions since the last call."""
        with self._passed.get_lock():
            passed, self._passed.value = self._passed.value, 0
        return passed

    def __enter__(self) -> FarRelay:
        self._process.start()
        if not self._port.poll(_START_SECONDS):
            raise TimeoutError("the relay did not start")
        self.address = dataclasses.replace(self.address, port=self._port.recv())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.join(10)


def _relay(host: str, port: int, delay: float, ready: Connection, passed: Synchronized[int]) -> None:
    asyncio.run(_Relay(host, port, delay, passed).serve(ready))


class _Relay:
    def __init__(self, host: str, port: int, delay: float, passed: Synchronized[int]) -> None:
        self._host, self._port, self._delay, self._passed = host, port, delay, passed

    async def serve(self, ready: Connection) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    async def _accept(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, forth = await asyncio.open_connection(self._host, self._port)
        await asyncio.gather(self._pass(near, forth), self._pass(far, back), return_exceptions=True)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_WINDOW_BYTES // _READ_BYTES)
        delivering = asyncio.create_task(self._deliver(waiting, sink))
        loop = asyncio.get_running_loop()
        try:
            while data := await source.read(_READ_BYTES):
                with self._passed.get_lock():
                    self._passed.value += len(data)
                await waiting.put((loop.time() + self._delay, data))
        finally:
            await waiting.put((0.0, b""))
            await delivering

    async def _deliver(self, waiting: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await waiting.get()
            if not data:
                break
            if (rest := due - loop.time()) > 0:
                await asyncio.sleep(rest)
            sink.write(data)
            await sink.drain()
        sink.close()
