"""What the pod holds already is copied there instead of being sent again: renamed and copied folders of small files."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from devpod_rp.agent.files import content
from devpod_rp.agent.sync import batch
from devpod_rp.pod.link import AgentLink
from tests.sync.conftest import Pair

_FILES = 200
_BYTES = 6_000


class Counting(AgentLink):
    """A link that adds up the bytes of what it sends with the batches."""

    sent = 0

    def ask(self, op, body=b"", **fields):  # type: ignore[no-untyped-def]
        self.sent += len(body)
        return super().ask(op, body, **fields)


@pytest.fixture(params=["one-way-safe", "two-way-safe"])
def full(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    noise = random.Random(7)
    pair = Pair(tmp_path, request.param)
    for number in range(_FILES):
        pair.local.write(f"data/{number}.bin", noise.randbytes(_BYTES))
    pair.sync()
    yield pair
    pair.close()


def observed(pair: Pair) -> frozenset[str]:
    """What a watcher reports of a folder that was moved: deletions that somebody saw need no yes."""
    return frozenset(pair.pod.files()) | frozenset(pair.local.files())


def sent(pair: Pair) -> int:
    """The bytes that bringing both sides together sends."""
    pair.disconnect()
    pair.link = Counting.open(pair.machine)
    pair.session.attach(pair.link)
    pair.session.synchronise(observed(pair))
    return pair.link.sent


def test_a_renamed_folder_costs_its_names_not_its_content(full: Pair) -> None:
    (full.local.root / "data").rename(full.local.root / "renamed")
    assert sent(full) < _FILES * 300
    assert full.pod.files() == full.local.files()
    assert len(full.pod.files()) == _FILES + 1


def test_a_folder_renamed_while_nobody_watched_needs_no_yes(full: Pair) -> None:
    full.restart()
    (full.local.root / "data").rename(full.local.root / "renamed")
    full.connect()
    full.session.synchronise()
    assert full.pod.files() == full.local.files()


def test_a_copied_folder_costs_its_names_not_its_content(full: Pair) -> None:
    for number in range(_FILES):
        full.local.write(f"copy/{number}.bin", (full.local.root / f"data/{number}.bin").read_bytes())
    assert sent(full) < _FILES * 300
    assert full.pod.files() == full.local.files()


def test_what_changed_on_the_pod_behind_our_back_is_sent_instead(full: Pair) -> None:
    full.session.synchronise()
    (full.local.root / "data").rename(full.local.root / "renamed")

    class Meddling(Counting):
        """The source of a copy is written by somebody else between the look and the copy."""

        def ask(self, op, body=b"", **fields):  # type: ignore[no-untyped-def]
            if op == "files.apply":
                for number in range(0, _FILES, 2):
                    full.pod.write(f"data/{number}.bin", f"mine {number}")
            return super().ask(op, body, **fields)

    full.disconnect()
    full.link = Meddling.open(full.machine)
    full.session.attach(full.link)
    full.session.synchronise(observed(full))
    there, here = full.pod.files(), full.local.files()
    assert all(there[f"renamed/{number}.bin"] == here[f"renamed/{number}.bin"] for number in range(_FILES))
    assert all(there[f"data/{number}.bin"] == f"mine {number}" for number in range(0, _FILES, 2))


def test_two_files_that_change_places(full: Pair) -> None:
    data = full.local.root / "data"
    for number in range(0, _FILES, 2):
        one, other = data / f"{number}.bin", data / f"{number + 1}.bin"
        one.rename(data / "between")
        other.rename(one)
        (data / "between").rename(other)
    sent(full)
    assert full.pod.files() == full.local.files()


@pytest.mark.parametrize("path", ["../outside", "/etc/hostname", "link/secret", "pipe", "data", "absent", "other"])
def test_nothing_but_the_named_content_of_a_file_in_the_folder_is_copied(full: Pair, path: str) -> None:
    outside = full.tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"s" * 600)
    full.pod.write("other", "o" * 600)
    (full.pod.root / "link").symlink_to(outside)
    os.mkfifo(full.pod.root / "pipe")
    item = {"path": "stolen", "old": None, "do": "file", "copy": path, "size": 600, "executable": False}

    item["digest"] = content.digest(b"s" * 600)
    assert full.link is not None
    assert full.session.destination is not None
    answer = full.link.call("files.apply", batch.packed([item], []), **full.session.destination.fields())
    assert batch.heard(answer.body)[0].keys() == {0}
    assert not (full.pod.root / "stolen").exists()
