"""Two machines that synchronise with one folder on a pod notice each other before either changes anything."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devpod_rp.agent.sync.leases import EXPIRES_SECONDS
from devpod_rp.sync.status import SyncHalted
from tests.sync.conftest import Pair


class Second(Pair):
    """Another laptop with a folder of its own, and the same folder on the same volume."""

    def __init__(self, tmp_path: Path, first: Pair) -> None:
        super().__init__(tmp_path, first.mode)
        self.session.close()
        self.volume, self.pod = first.volume, first.pod
        self.session = self.new_session()


@pytest.fixture(params=["one-way-safe", "two-way-safe", "one-way-replica"])
def laptops(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Pair, Second]]:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    first = Pair(tmp_path / "first", request.param)
    second = Second(tmp_path / "second", first)
    yield first, second
    second.close()
    first.close()


def halt_of(pair: Pair) -> SyncHalted:
    with pytest.raises(SyncHalted) as halt:
        pair.sync()
    assert pair.session.status().state == "halted"
    return halt.value


def test_the_second_machine_halts_and_changes_nothing_on_either_side(laptops: tuple[Pair, Second]) -> None:
    first, second = laptops
    first.both({"a.txt": "first", "only.txt": "first"}).synced()
    second.both({"a.txt": "second"})
    halt = halt_of(second)
    assert halt.reason == "other-machine"
    assert str(first.local.root) in halt.message, "it says which machine and folder"
    assert first.pod.files() == {"a.txt": "first", "only.txt": "first"}
    assert second.local.files() == {"a.txt": "second"}
    first.local.write("a.txt", "first again")
    first.sync("a.txt")
    assert first.pod.read("a.txt") == "first again", "the first one is not disturbed"


def test_when_the_first_one_leaves_the_second_goes_on_by_itself(laptops: tuple[Pair, Second]) -> None:
    first, second = laptops
    first.both({"a.txt": "a"}).synced()
    assert halt_of(second).reason == "other-machine"
    pipe = first.machine.pipe
    assert pipe is not None
    pipe.stdin.close()  # as when its keeper ends
    pipe.process.wait(20)
    second.local.write("a.txt", "a")
    second.sync()
    assert second.session.status().state == "watching"


def test_while_the_first_one_pauses_the_second_may_go_on(laptops: tuple[Pair, Second]) -> None:
    first, second = laptops
    first.both({"a.txt": "a"}).synced()
    first.session.release()
    second.local.write("a.txt", "a")
    second.sync()
    assert halt_of(first).reason == "other-machine"


def test_who_takes_over_stops_the_other_one(laptops: tuple[Pair, Second]) -> None:
    first, second = laptops
    first.both({"a.txt": "a"}).synced()
    second.local.write("a.txt", "a")
    assert halt_of(second).reason == "other-machine"
    second.session.accept()
    second.sync()
    first.local.write("late.txt", "from the first")
    assert halt_of(first).reason == "other-machine"
    assert "late.txt" not in first.pod.files()
    second.sync()


def test_a_machine_that_died_stands_in_nobody_s_way_for_long(laptops: tuple[Pair, Second]) -> None:
    first, second = laptops
    first.both({"a.txt": "a"}).synced()
    (lease,) = first.volume.glob(".devpod_rp/roots/*/lease")
    word = json.loads(lease.read_text())
    first.machine.close()  # the agent is killed: nobody gives the lease back
    assert halt_of(second).reason == "other-machine"
    lease.write_text(json.dumps({**word, "at": time.time() - EXPIRES_SECONDS - 1}))
    second.local.write("a.txt", "a")
    second.sync()


def test_the_same_machine_is_never_in_its_own_way(pair: Pair) -> None:
    pair.both({"a.txt": "a"}).synced()
    pair.machine.close()
    pair.restart()
    pair.local.write("b.txt", "b")
    pair.sync()
    assert pair.pod.files() == pair.local.files()


@pytest.mark.parametrize("rubbish", ["", "{}", '{"owner": 1}', "\0\0"])
def test_a_lease_that_cannot_be_read_is_nobody_s(pair: Pair, rubbish: str) -> None:
    pair.both({"a.txt": "a"}).synced()
    (lease,) = pair.volume.glob(".devpod_rp/roots/*/lease")
    lease.write_text(rubbish)
    pair.sync()
    assert json.loads(lease.read_text())["owner"]


def test_a_full_volume_keeps_nobody_from_making_room_there(pair: Pair) -> None:
    if os.geteuid() != 0 or os.system(f"mount -t tmpfs -o size=1m tmpfs '{pair.volume}' 2>/dev/null") != 0:
        pytest.skip("mounting a small tmpfs is not possible here")
    try:
        pair.both({"a.txt": "a", "b.txt": "b"}).synced()
        with contextlib.suppress(OSError), (pair.volume / "ballast").open("wb") as ballast:
            while ballast.write(b"x" * 4096):
                ballast.flush()
        pair.local.delete("b.txt")
        pair.sync("b.txt")
        pair.sync()
        assert "b.txt" not in pair.pod.files()
    finally:
        pair.close()
        os.system(f"umount '{pair.volume}'")
