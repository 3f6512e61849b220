"""Thousands of configurations that people could have: ours goes in, changes, goes out, and nothing else moves.

The files are real and so is the ``ssh`` that reads them.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devpod_rp import paths
from devpod_rp.ssh import config_file
from devpod_rp.ssh.connection import Address
from tests.ssh.test_config_file import BOM, entry

CONFIGURATIONS = 2000
_FOREIGN = ("alpha", "www.example.com")

_values = st.sampled_from(
    ["User bob", "Port 2222", "\tHostName 192.0.2.9", "ForwardAgent=yes", 'IdentityFile "~/my keys/id"',
     "Compression   yes", "ServerAliveInterval 7", "ProxyJump bastion", "LocalForward 8080 localhost:80",
     "# a comment, Host and Include in it", "", "   ", "IdentityFile ~/.ssh/caf\u00e9", "SendEnv LANG LC_*",
     'SetEnv A="b c"', "userknownhostsfile ~/.ssh/a ~/.ssh/b", "PROXYCOMMAND none", "CheckHostIP no"]
)  # fmt: skip
_headers = st.sampled_from(
    ["Host alpha", "Host beta", "host  gamma alpha", "Host *.example.com", "Host *", "Host !beta *", "HOST Upper",
     "Match all", "Match host alpha", 'Match user bob host "*.example.com"', "Host=delta", "Include ~/.missing/*",
     "# --- other tool ---"]
)  # fmt: skip


@st.composite
def configurations(draw: st.DrawFn) -> bytes:
    lines = draw(st.lists(_values, max_size=3))
    for _ in range(draw(st.integers(0, 5))):
        lines += [draw(_headers), *draw(st.lists(_values, max_size=4))]
    newline = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    end = draw(st.sampled_from(["", newline, newline * 3]))
    mark = draw(st.sampled_from([b"", b"", b"", BOM]))
    return mark + (newline.join(lines) + end).encode()


def as_ssh_reads_it(host: str) -> tuple[int, str]:
    done = subprocess.run(
        ["ssh", "-G", "-F", str(paths.user_ssh_config()), host], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
@given(configurations(), st.integers(1, 65535))
@settings(max_examples=CONFIGURATIONS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_host_is_added_changed_and_removed_and_every_foreign_byte_stays(
    home: Path, content: bytes, port: int
) -> None:
    path = paths.user_ssh_config()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_bytes(content)
    foreign = _FOREIGN[port % len(_FOREIGN)]
    before = as_ssh_reads_it(foreign)

    config_file.write_hosts([entry("demo")])
    config_file.ensure_include()
    added = path.read_bytes()
    config_file.write_hosts([entry("demo", address=Address("198.51.100.4", port))])
    config_file.ensure_include()
    assert path.read_bytes() == added
    assert added.endswith(content.removeprefix(BOM))
    assert len(added) - len(content.removeprefix(BOM)) < 300

    if not content.startswith(BOM):
        assert as_ssh_reads_it(foreign) == before
    code, seen = as_ssh_reads_it("demo.devpod")
    assert (code, f"port {port}\n" in seen) == (0, True)

    config_file.write_hosts([])
    config_file.remove_include()
    assert path.read_bytes() == content
