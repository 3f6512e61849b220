"""What a terminal shows last, when its last process ends in the same moment."""

from __future__ import annotations

import asyncio
import os
import subprocess

from devpod_rp.localcloud.sandbox.inside import sessions


async def shown_by(command: str) -> bytes:
    """What *command* shows on a terminal, to a reader that looks only when everything is over."""
    master, slave = os.openpty()
    process = subprocess.Popen(["sh", "-c", command], stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: sessions._Outlet(reader), os.fdopen(master, "rb", 0))
    while not transport.is_closing():  # the terminal's end was seen
        await asyncio.sleep(0.01)
    process.wait()
    return await reader.read()


def test_nothing_is_lost_at_the_end_of_a_terminal() -> None:
    assert asyncio.run(shown_by("echo first; echo last")) == b"first\r\nlast\r\n"
