"""Through real SSH and a real relay that is cut: nothing is lost, both sides converge, nothing is left lying about."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from devpod_rp.errors import UnreachableError
from devpod_rp.pod.link import AgentLink
from devpod_rp.ssh.connection import Connection
from devpod_rp.ssh.keys import ensure_identity
from devpod_rp.sync import cycle
from tests.ssh.openssh import OpenSshServer, find_sshd
from tests.ssh.relay import Relay
from tests.sync.conftest import Pair

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_sshd() is None, reason="OpenSSH's sshd is not installed")]

CUTS = 50


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenSshServer]:
    monkeypatch.setenv("DEVPOD_RP_HOME", str(tmp_path / "home"))
    with OpenSshServer(str(find_sshd()), tmp_path / "sshd", authorized=ensure_identity().public) as running:
        yield running


def link_through(server: OpenSshServer, relay: Relay) -> AgentLink:
    identity = ensure_identity()
    return AgentLink.open(Connection.open(relay.address, identity.private, server.host_key))


def storm(pair: Pair, chance: random.Random, number: int) -> None:
    """Edits, new files, deletions and type changes here; edits of other files on the pod."""
    for each in range(60):
        pair.local.write(f"src/{each}.py", f"{number} {each} " + "x" * chance.randrange(4000))
    pair.local.write(f"new/{number}/deep/file", f"new {number}")
    pair.local.write("large.bin", chance.randbytes((2 << 20) + number))
    if number % 3 == 1:
        (pair.local.root / f"new/{number - 1}/deep/file").unlink()
    pair.pod.write(f"outputs/{number}.log", f"made on the pod {number}")


def test_a_connection_cut_at_any_point_of_a_storm_costs_only_time(two_way: Pair, server: OpenSshServer) -> None:
    chance = random.Random(4)
    two_way.local.write("there.py", "1")
    with Relay(server.address.port) as relay:
        two_way.session.attach(link_through(server, relay))
        two_way.session.synchronise()
        cuts = 0
        for number in range(CUTS):
            storm(two_way, chance, number)
            link = link_through(server, uncut(relay))
            try:
                relay.cut_after(int(2 ** chance.uniform(8, 22)))
                two_way.session.attach(link)
                two_way.session.synchronise()
            except UnreachableError:
                cuts += 1
            finally:
                link.close()
            if number % 10 == 9:
                calm = link_through(server, uncut(relay))
                two_way.session.attach(calm)
                two_way.session.synchronise()
                assert two_way.pod.files() == two_way.local.files()
                assert two_way.conflicts() == []
                calm.close()
        assert cuts >= CUTS // 2
    assert f"outputs/{CUTS - 1}.log" in two_way.local.files()
    assert two_way.litter() == []


def test_a_cut_while_some_edits_are_sent_and_the_next_looked_at_costs_only_time(
    two_way: Pair, server: OpenSshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cycle, "_FEW", 8)
    chance = random.Random(8)
    with Relay(server.address.port) as relay:
        cuts = 0
        for number in range(CUTS // 2):
            link = link_through(server, uncut(relay))
            try:
                two_way.session.attach(link)
                two_way.session.synchronise()
                assert two_way.pod.files() == two_way.local.files()
                assert two_way.conflicts() == []
                storm(two_way, chance, number)
                relay.cut_after(int(2 ** chance.uniform(8, 18)))
                two_way.session.synchronise(frozenset(two_way.local.files()))
            except UnreachableError:
                cuts += 1
            finally:
                link.close()
        assert cuts >= CUTS // 4
        calm = link_through(server, uncut(relay))
        two_way.session.attach(calm)
        two_way.session.synchronise()
        calm.close()
    assert two_way.pod.files() == two_way.local.files()
    assert two_way.conflicts() == []
    assert two_way.litter() == []


def uncut(relay: Relay) -> Relay:
    relay.cut_after(1 << 40)
    return relay
