from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from devpod_rp.pod.link import AgentLink, Connection

Open = Callable[[Connection], AgentLink]
Until = Callable[[Callable[[], bool]], None]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens links and closes them when the test is over."""
    links: list[AgentLink] = []

    def open_link(connection: Connection) -> AgentLink:
        links.append(AgentLink.open(connection))
        return links[-1]

    yield open_link
    for link in links:
        link.close()


@pytest.fixture
def until() -> Until:
    """Waits for a condition, ten seconds at most."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "it did not happen within ten seconds"
            time.sleep(0.01)

    return wait
