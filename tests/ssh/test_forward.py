"""Local ports that lead to the pod, over real SSH servers of two makes."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from devpod_rp.ssh.connection import Connection, NothingListens
from devpod_rp.ssh.errors import Unreachable
from devpod_rp.ssh.forward import Forwarding, PortTaken
from devpod_rp.ssh.keys import Identity
from tests.services import echo, free_port, listener, said_back
from tests.ssh.server import Server


@pytest.fixture
def connection(server: Server, identity: Identity) -> Iterator[Connection]:
    with Connection.open(server.address, identity.private, server.host_key) as opened:
        yield opened


def test_what_goes_in_comes_out_and_back(connection: Connection) -> None:
    data = os.urandom(3_000_000)
    with echo() as port:
        forwarding = Forwarding(0, lambda: connection.dial(port))
        try:
            assert said_back(forwarding.port, data) == data
        finally:
            forwarding.close()


def test_many_conversations_at_once_stay_apart(connection: Connection) -> None:
    with echo() as port:
        forwarding = Forwarding(0, lambda: connection.dial(port))
        answers: dict[int, bytes] = {}

        def talk(number: int) -> None:
            answers[number] = said_back(forwarding.port, bytes([number]) * 50_000)

        talkers = [threading.Thread(target=talk, args=(number,)) for number in range(12)]
        for talker in talkers:
            talker.start()
        for talker in talkers:
            talker.join(60)
        deadline = time.monotonic() + 20
        while forwarding.connections and time.monotonic() < deadline:
            time.sleep(0.01)
        assert forwarding.connections == 0
        forwarding.close()
    assert answers == {number: bytes([number]) * 50_000 for number in range(12)}


def test_where_nothing_listens_the_client_is_hung_up_on(connection: Connection) -> None:
    nobody = free_port()
    with pytest.raises(NothingListens, match=str(nobody)):
        connection.dial(nobody)
    forwarding = Forwarding(0, lambda: connection.dial(nobody))
    try:
        assert said_back(forwarding.port, b"hello?") == b""
        assert forwarding.problem == f"Nothing listens on port {nobody} of the pod."
    except ConnectionResetError:
        pass  # as good an answer
    finally:
        forwarding.close()


def test_a_lost_connection_ends_the_conversations_and_keeps_the_port(connection: Connection) -> None:
    with echo() as port:
        forwarding = Forwarding(0, lambda: connection.dial(port))
        with socket.create_connection(("127.0.0.1", forwarding.port), 20) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            connection.close()
            assert client.recv(1) == b""
        with pytest.raises(Unreachable):
            connection.dial(port)
        with pytest.raises(PortTaken):
            Forwarding(forwarding.port, lambda: connection.dial(port))
        forwarding.close()


def test_only_this_machine_reaches_the_port() -> None:
    forwarding = Forwarding(0, lambda: pytest.fail("nobody should come through"))
    others = {entry[4][0] for entry in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    try:
        for address in [each for each in others if not each.startswith("127.")]:
            with pytest.raises(OSError, match="refused"):
                socket.create_connection((address, forwarding.port), 5)
        assert forwarding._listener.getsockname()[0] == "127.0.0.1"
    finally:
        forwarding.close()


def test_a_taken_port_is_an_error_that_names_it_and_a_closed_one_is_free_again() -> None:
    with listener() as server:
        taken = server.getsockname()[1]
        with pytest.raises(PortTaken, match=str(taken)):
            Forwarding(taken, lambda: pytest.fail("not reached"))
    forwarding = Forwarding(0, lambda: pytest.fail("not reached"))
    forwarding.close()
    Forwarding(forwarding.port, lambda: pytest.fail("not reached")).close()
