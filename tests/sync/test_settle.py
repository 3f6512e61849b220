"""What was acknowledged counts at once, and is written down when it would survive a power cut on the pod."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from devpod_rp.pod.link import AgentLink, AgentRefused, LinkLost
from devpod_rp.sync.journal import Journal
from tests.sync.conftest import Pair

FILES = {"kept": "1", "lost": "2", "emptied": "3", "d/deep": "4"}


class Unsettled(AgentLink):
    """A link that is lost before the pod's disk has everything."""

    def ask(self, op, body=b"", **fields):  # type: ignore[no-untyped-def]
        answer = super().ask(op, body, **fields)
        return self._lost if op == "files.settle" else answer

    def _lost(self) -> None:
        self.close()
        raise LinkLost("cut")


@pytest.fixture(params=["one-way-safe", "two-way-safe"])
def cut(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Both sides hold the same, of which the pod did not say that its disk has it."""
    pair = Pair(tmp_path, request.param).both(FILES)
    pair.link = Unsettled.open(pair.machine)
    pair.session.attach(pair.link)
    pair.synced()
    pair.session.rest()
    assert not pair.link.alive
    assert written_down(pair) == set()
    yield pair
    pair.close()


def written_down(pair: Pair) -> set[str]:
    journal = Journal(pair.tmp_path / "state")
    try:
        return {path for path, entry in journal.trees().ancestor.items() if entry.kind == "file"}
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


def test_the_next_transfer_waits_for_what_the_last_one_left(pair: Pair) -> None:
    pair.both(FILES).synced()
    pair.local.write("kept", "again")
    pair.sync("kept")
    assert written_down(pair) == set(FILES)


def test_a_look_that_finds_nothing_to_do_does_not_wait_for_it(pair: Pair) -> None:
    pair.both(FILES).synced()
    pair.sync("kept")
    assert written_down(pair) == set()


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
        return self._refused

    def _refused(self) -> None:
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
