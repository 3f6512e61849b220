"""What ``doctor`` says of a machine: each finding as a pure function, and all of them on a real one."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from devpod_rp.lifecycle.doctor import health, health_ssh
from tests.lifecycle.conftest import record
from tests.localcloud.conftest import LocalCloud

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("said", "well"),
    [
        ("OpenSSH_9.2p1 Debian-2+deb12u3, OpenSSL 3.0.15", True),
        ("OpenSSH_for_Windows_8.1p1, LibreSSL 3.0.2", True),
        ("OpenSSH_7.3p1", True),
        ("OpenSSH_7.2p2 Ubuntu-4", False),
        ("OpenSSH_10.0p2", True),
        ("Dropbear v2022.83", False),
        ("", False),
    ],
)
def test_an_ssh_that_cannot_read_what_we_write_is_found(said: str, well: bool) -> None:
    finding = health_ssh.version(said)
    assert finding.ok is well
    assert finding.fix


@pytest.mark.parametrize(("seconds", "words"), [(-3600, "3600 s behind"), (61, "61 s ahead of")])
def test_a_clock_that_is_wrong_is_found_with_its_direction(seconds: int, words: str) -> None:
    finding = health.clock(NOW, NOW + timedelta(seconds=seconds))
    assert not finding.ok
    assert words in finding.found
    assert "set the clock" in str(finding.fix)


@pytest.mark.parametrize("seconds", [-60, -1, 0, 30, 60])
def test_a_clock_that_is_near_is_well(seconds: int) -> None:
    assert health.clock(NOW, NOW + timedelta(seconds=seconds)).ok


def test_too_few_watches_are_found_with_the_command_that_allows_more() -> None:
    assert health.watches(8192, 100).ok
    finding = health.watches(8192, 5000)
    assert not finding.ok
    assert "5000 folders" in finding.found
    assert finding.fix == "sudo sysctl -w fs.inotify.max_user_watches=524288"
    assert "=2000000" in str(health.watches(524_288, 500_000).fix)


def test_on_a_real_machine_every_check_is_made_and_says_what_it_found(
    cloud: LocalCloud, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    record(folder)
    findings = {each.check: each for each in health.examine("local")}
    assert list(findings) == [
        "ssh", "ssh config", "identity", "host keys", "configuration", "disk", "watches", "editors", "environments",
        "cloud", "clock",
    ]  # fmt: skip
    assert findings["clock"].found.startswith("within"), "the local cloud tells the time"
    assert findings["configuration"].ok
    (folder / "devpod-rp.toml").write_text("gpu_cuont = 2\n")
    broken = next(each for each in health.examine("local") if each.check == "configuration")
    assert not broken.ok
    assert "devpod-rp.toml:1" in broken.found
    assert "gpu_count" in str(broken.fix)
