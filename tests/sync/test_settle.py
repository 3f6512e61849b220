"""What was acknowledged counts at once, and is written down when it would survive a power cut on the pod."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from devpod_rp.pod.link import AgentLink, AgentRefused
from devpod_rp.sync.journal import Journal
from devpod_rp.sync.transfer import BATCH_BYTES
from tests.sync.busy_disk import BusyDisk
from tests.sync.conftest import Pair

FILES = {"kept": "1", "lost": "2", "emptied": "3", "d/deep": "4"}


@pytest.fixture(params=["one-way-safe", "two-way-safe"])
def cut(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Both sides hold the same, of which the pod did not say that its disk has it."""
    pair = Pair(tmp_path, request.param).both(FILES)
    pair.link = BusyDisk.open(pair.machine)
    pair.session.attach(pair.link)
    pair.synced()
    pair.session.rest()
    assert not pair.link.alive
    assert written_down(pair) == set()
    yield pair
    pair.close()


def written_down(pair: Pair) -> set[str]:
    return set(sizes_written_down(pair))


def sizes_written_down(pair: Pair) -> dict[str, int]:
    journal = Journal(pair.tmp_path / "state")
    try:
        return {path: entry.size for path, entry in journal.trees().ancestor.items() if entry.kind == "file"}
    finally:
        journal.close()


def on_a_machine_started_anew(pair: Pair) -> AgentLink:
    pair.disconnect()
    pair.link = AgentLink.open(pair.machine)
    pair.link.hello = dataclasses.replace(pair.link.hello, boot_id="another")
    pair.session.attach(pair.link)
    return pair.link


def test_it_is_written_down_as_soon_as_there_is_nothing_else_to_do(pair: Pair) -> None:
    pair.both(FILES).synced()
    assert written_down(pair) == set()
    pair.session.rest()
    assert written_down(pair) == set(FILES)


def test_a_connection_that_is_lost_before_it_forgets_nothing_and_asks_again(cut: Pair) -> None:
    cut.local.write("kept", "edited here")
    assert cut.sync().uploaded_files == 1
    assert cut.pod.files() == cut.local.files()
    assert cut.conflicts() == []
    cut.session.rest()
    assert written_down(cut) == set(FILES)


@pytest.fixture
def disk(pair: Pair) -> BusyDisk:
    """What is written here was sent to a pod whose disk is busy."""
    pair.both(FILES)
    pair.link = link = BusyDisk.open(pair.machine)
    pair.session.attach(link)
    pair.synced()
    return link


def test_the_next_transfer_does_not_wait_for_a_busy_disk(pair: Pair, disk: BusyDisk) -> None:
    pair.local.write("kept", "again")
    pair.sync("kept")
    assert pair.pod.files()["kept"] == "again"
    assert written_down(pair) == {"kept"}, "one file is on the disk when it is acknowledged"
    assert not pair.session.settled()
    disk.has_come = True
    assert pair.session.settled()
    assert written_down(pair) == set(FILES)


def test_what_was_sent_again_is_not_taken_for_what_the_disk_had_to_say_before(pair: Pair, disk: BusyDisk) -> None:
    pair.local.write("kept", "2" * BATCH_BYTES)
    pair.local.write("lost", "3")
    pair.session.synchronise({"kept", "lost"})  # more than is on the disk at once
    assert written_down(pair) == set()
    disk.has_come = True
    assert pair.session.settled()
    assert sizes_written_down(pair) == {**{path: len(text) for path, text in FILES.items()}, "kept": BATCH_BYTES}


def test_what_the_pod_lost_when_its_machine_went_down_is_no_wish_of_anybody(cut: Pair) -> None:
    (cut.pod.root / "lost").unlink()
    (cut.pod.root / "emptied").write_bytes(b"")
    before = cut.local.files()
    on_a_machine_started_anew(cut)
    cut.session.synchronise()
    assert cut.local.files() == before
    assert cut.pod.files() == {**before, "emptied": ""}
    assert cut.conflicts() == ["emptied"], "nobody can know that it was no edit"
    cut.session.rest()
    assert written_down(cut) == set(FILES) - {"emptied"}


def test_an_edit_after_the_machine_went_down_is_no_conflict_with_what_was_sent(cut: Pair) -> None:
    cut.local.write("kept", "edited here meanwhile")
    on_a_machine_started_anew(cut)
    cut.session.synchronise()
    assert cut.pod.files() == cut.local.files()
    assert cut.conflicts() == []


class RefusedOnce(AgentLink):
    """A link whose pod cannot write to its disk at first."""

    refusals = 1

    def ask(self, op, body=b"", **fields):  # type: ignore[no-untyped-def]
        answer = super().ask(op, body, **fields)
        if op != "files.settle" or not self.refusals:
            return answer
        self.refusals -= 1
        return Refused()


class Refused:
    has_come = True

    def __call__(self) -> None:
        raise AgentRefused("unexpected", "Input/output error")


def test_a_disk_that_fails_is_asked_again_with_what_comes_next(pair: Pair) -> None:
    pair.both(FILES)
    pair.link = RefusedOnce.open(pair.machine)
    pair.session.attach(pair.link)
    pair.synced()
    pair.session.rest()
    assert written_down(pair) == set()
    for number in range(600):  # more than is sure at once
        pair.local.write(f"more/{number}", str(number))
    pair.synced()
    pair.session.rest()
    assert len(written_down(pair)) == 600 + len(FILES)
