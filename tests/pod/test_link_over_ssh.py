"""The same conversation through real SSH servers and our own connection."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from devpod_rp.pod.link import AgentLink, LinkLost
from devpod_rp.ssh.connection import Connection
from devpod_rp.ssh.keys import Identity
from tests.pod.conftest import Until
from tests.ssh import conftest as ssh
from tests.ssh.relay import Relay
from tests.ssh.server import Server

home, identity, server, relay = ssh.home, ssh.identity, ssh.server, ssh.relay


@pytest.fixture
def link(server: Server, identity: Identity) -> Iterator[AgentLink]:
    with AgentLink.open(Connection.open(server.address, identity.private, server.host_key)) as link:
        yield link


def test_the_agent_answers_and_takes_a_large_body(link: AgentLink) -> None:
    assert link.ping() < 5
    began = time.monotonic()
    link.call("system.hello", os.urandom(1 << 20) * 64)
    assert time.monotonic() - began < 20
    assert link.ping() < 5


def test_closing_the_link_leaves_no_agent_behind(link: AgentLink, until: Until) -> None:
    pid = link.hello.pid
    link.close()
    until(lambda: not os.path.exists(f"/proc/{pid}"))


def test_a_killed_agent_is_noticed_and_its_end_told(link: AgentLink, until: Until) -> None:
    os.kill(link.hello.pid, signal.SIGKILL)
    until(lambda: not link.alive)
    with pytest.raises(LinkLost):
        link.call("system.hello")


def test_a_cut_connection_fails_the_call_and_ends_the_agent(
    server: Server, relay: Relay, identity: Identity, until: Until
) -> None:
    link = AgentLink.open(Connection.open(relay.address, identity.private, server.host_key))
    relay.cut()
    with pytest.raises(LinkLost):
        link.call("system.hello")
    until(lambda: not os.path.exists(f"/proc/{link.hello.pid}"))
    link.close()
