"""Tunnels: the same address, whatever becomes of the connection, the keeper and the pod."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from devpod_rp import environments, paths
from devpod_rp.control import KeeperRefused
from tests.keeper.rig import Rig, eventually
from tests.services import echo, free_port, listener, said_back

pytestmark = pytest.mark.slow


@pytest.fixture
def service() -> Iterator[int]:
    with echo() as port:
        yield port


def forward(rig: Rig, *ports: object) -> list[dict[str, object]]:
    forwards: list[dict[str, object]] = rig.ask("forward", ports=[str(port) for port in ports])["forwards"]
    return forwards


def only(rig: Rig) -> dict[str, object]:
    (shown,) = rig.ask("status")["forwards"]
    return dict(shown)


def test_a_port_of_the_pod_is_here(rig: Rig, service: int) -> None:
    rig.start()
    rig.until(connected=True)
    (shown,) = forward(rig, f"echo={service}")
    assert (shown["port"], shown["label"], shown["listening"]) == (service, "echo", True)
    assert said_back(int(str(shown["local_port"])), b"hello") == b"hello"


def test_a_tunnel_outlives_its_connection(rig: Rig, service: int) -> None:
    rig.start()
    rig.until(connected=True)
    local = int(str(forward(rig, service)[0]["local_port"]))
    rig.pod.connections[-1].close()
    assert said_back(local, b"again") == b"again"  # waits for the connection to be back
    assert rig.pod.attempts == 2


def test_the_same_address_after_a_restart_of_the_keeper(rig: Rig, service: int) -> None:
    rig.start()
    before = forward(rig, f"echo={service}")
    rig.stop()
    rig.start()
    assert rig.ask("status")["forwards"] == before
    assert said_back(int(str(before[0]["local_port"])), b"hello") == b"hello"


def test_a_taken_port_gives_the_next_free_one_unless_it_was_asked_for(rig: Rig) -> None:
    rig.start()
    with listener() as server:
        taken = server.getsockname()[1]
        (shown,) = forward(rig, taken)
        assert shown["local_port"] != taken
        with pytest.raises(KeeperRefused, match=str(taken)) as refusal:
            forward(rig, f"{free_port()}:{taken}")
        assert refusal.value.kind == "port-taken"
        assert rig.ask("status")["forwards"] == [shown]


def test_a_tunnel_that_was_asked_for_elsewhere_moves_or_stays(rig: Rig, service: int) -> None:
    rig.start()
    forward(rig, service)
    wanted = free_port()
    assert forward(rig, f"{service}:{wanted}")[0]["local_port"] == wanted
    with listener() as server, pytest.raises(KeeperRefused):
        forward(rig, f"{service}:{server.getsockname()[1]}")
    assert only(rig)["local_port"] == wanted
    assert said_back(wanted, b"hello") == b"hello"


def test_a_stopped_tunnel_is_gone_for_good(rig: Rig, service: int) -> None:
    rig.start()
    local = int(str(forward(rig, f"echo={service}")[0]["local_port"]))
    assert rig.ask("unforward", keys=["echo"])["forwards"] == []
    with pytest.raises(ConnectionRefusedError):
        said_back(local, b"hello")
    rig.stop()
    rig.start()
    assert rig.ask("status")["forwards"] == []
    with pytest.raises(KeeperRefused, match="no tunnel"):
        rig.ask("unforward", keys=["echo"])


def test_the_ports_of_the_configuration_come_and_go_with_it(rig: Rig, service: int) -> None:
    environments.save(dataclasses.replace(rig.record, spec={**rig.record.spec, "forward_ports": [f"echo={service}"]}))
    rig.start()
    eventually(lambda: len(rig.ask("status")["forwards"]) == 1)
    assert said_back(int(str(only(rig)["local_port"])), b"hello") == b"hello"
    with pytest.raises(KeeperRefused, match="configuration asks"):
        rig.ask("unforward", keys=["echo"])
    environments.save(dataclasses.replace(rig.record, spec={**rig.record.spec, "forward_ports": []}))
    eventually(lambda: rig.ask("status")["forwards"] == [])


def test_what_is_no_port_is_refused(rig: Rig) -> None:
    rig.start()
    with pytest.raises(KeeperRefused, match="no port to forward"):
        forward(rig, "http")


def test_the_memory_of_the_tunnels_is_private(rig: Rig, service: int) -> None:
    rig.start()
    forward(rig, service)
    assert (paths.environment_dir(rig.name) / "forwards.json").stat().st_mode & 0o077 == 0


def test_without_synchronisation_there_are_tunnels_all_the_same(rig: Rig, service: int) -> None:
    environments.save(dataclasses.replace(rig.record, spec={"sync": {"enabled": False}}))
    rig.write("a.txt", "a")
    rig.start()
    rig.until(connected=True)
    assert said_back(int(str(forward(rig, service)[0]["local_port"])), b"hello") == b"hello"
    with pytest.raises(KeeperRefused, match="Nothing is synchronised"):
        rig.ask("flush")
    assert not rig.pod.folder.exists()
