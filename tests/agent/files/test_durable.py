"""Whether any later write to a file would show in its stamp."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from devpod_rp.agent.files import durable

NOW = 1_800_000_000_250_000_000
SECOND, MS = 10**9, 10**6


def status(mtime_ns: int, ctime_ns: int) -> os.stat_result:
    # The times in nanoseconds come behind ten fields, three whole seconds and three floats.
    times = (0, mtime_ns, ctime_ns)
    return os.stat_result((0o100644, 1, 1, 1, 0, 0, 5, 0, 0, 0, *(each / SECOND for each in times), *times))


@pytest.mark.parametrize(
    ("mtime_ns", "ctime_ns", "shows"),
    [
        pytest.param(NOW - 100 * MS, NOW - 100 * MS, True, id="written some ticks ago"),
        pytest.param(NOW - 5 * MS, NOW - 5 * MS, False, id="written in this tick"),
        pytest.param(NOW - 100 * MS, NOW - 5 * MS, True, id="named in this tick, but of older content"),
        pytest.param(NOW - 20 * MS, NOW - 5 * MS, False, id="named in this tick, of content of the tick before"),
        pytest.param(NOW + 60 * SECOND, NOW - 5 * MS, False, id="of content that is younger than its name"),
        pytest.param(NOW // SECOND * SECOND, NOW - 5 * MS, False, id="a whole second may be a tick"),
        pytest.param(NOW // SECOND * SECOND - 5 * SECOND, NOW - 5 * MS, True, id="a whole second of long ago"),
        pytest.param(NOW // SECOND * SECOND, NOW // SECOND * SECOND, False, id="a disk that counts in seconds"),
        pytest.param(
            NOW // SECOND * SECOND - 6 * SECOND, NOW // SECOND * SECOND - 6 * SECOND, True, id="such a disk, later"
        ),
    ],
)
def test_a_later_write_shows(mtime_ns: int, ctime_ns: int, shows: bool) -> None:
    made = status(mtime_ns, ctime_ns)
    assert (made.st_mtime_ns, made.st_ctime_ns) == (mtime_ns, ctime_ns)
    assert durable.is_settled(made, NOW) is shows


def test_a_write_right_after_the_one_that_named_the_file_does_show(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for _ in range(200):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.write(descriptor, b"ours!")
        os.utime(descriptor, ns=(0, time.time_ns() - 60 * MS))
        before = os.fstat(descriptor)
        assert durable.is_settled(before, before.st_ctime_ns)
        os.pwrite(descriptor, b"their", 0)
        after = os.fstat(descriptor)
        os.close(descriptor)
        assert (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns)
