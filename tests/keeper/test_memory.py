"""What a keeper needed in a moment of much goes back to the system."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

_MUCH = 20_000

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems' C libraries see to it")


def test_small_blocks_between_others_that_stay_are_given_back() -> None:
    program = textwrap.dedent("""
        import platform
        import psutil
        from devpod_rp.keeper.memory import give_back, keep_small

        keep_small()
        resident = lambda: psutil.Process().memory_info().rss >> 20
        blocks = [bytes(5_000) for _ in range(MUCH)]
        kept = blocks[::100]
        del blocks
        held = resident()
        give_back()
        print(platform.libc_ver()[0] or "another", held - resident(), len(kept))
    """).replace("MUCH", str(_MUCH))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    library, freed_mib, _kept = done.stdout.split()
    if library != "glibc":
        pytest.skip("another C library decides that itself")
    assert int(freed_mib) > _MUCH * 5_000 / (1 << 20) / 2
