"""What the agent's modules are imported from, while more of them come over the wire."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator

import pytest

from devpod_rp.agent.loader import Sources


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
def test_sources_may_come_while_another_thread_imports() -> None:
    sources = Sources({f"first.module{number}": "" for number in range(200)})
    enough, came = threading.Event(), threading.Event()

    def come() -> None:
        for turn in itertools.count():
            sources.add({f"later{turn % 500}.module{number}": "" for number in range(5)})
            came.set()
            if enough.is_set():
                return

    coming = threading.Thread(target=come)
    coming.start()
    came.wait()
    try:
        for _ in range(500):
            # The last module's name is the beginning of no other one, so every name is looked at.
            assert sources.find_spec("first.module199") is not None
    finally:
        enough.set()
        coming.join()
    assert sources.find_spec("later0.module4") is not None


@pytest.mark.parametrize(("name", "is_package"), [("room", True), ("roommate", False)])
def test_a_package_is_what_other_names_begin_with(name: str, is_package: bool) -> None:
    found = Sources({"room": "", "room.chair": "", "roommate": ""}).find_spec(name)
    assert found is not None
    assert (found.submodule_search_locations is not None) == is_package


def test_other_names_are_left_to_others() -> None:
    assert Sources({"room": ""}).find_spec("elsewhere") is None
