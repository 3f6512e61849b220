"""Listening on the pod: what is held back until it is asked for, and what a look at everything makes old news."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devpod_rp.agent.files.inotify import COMPLETE, Sign
from devpod_rp.agent.sync import watching
from devpod_rp.agent.sync.rules import Rules
from devpod_rp.agent.sync.settling import Settling
from devpod_rp.agent.wire import Refusal, Request


class Listener:
    """A ``files.watch`` that holds back, in a thread as in the agent."""

    def __init__(self, root: Path, state: Path) -> None:
        self.heard: list[str] = []
        self.full = False
        self._closing = threading.Event()
        self._marks = 0
        self._newest = 0
        self._armed = threading.Event()
        self._refusal: Refusal | None = None
        header = {"root": str(root), "state": str(state), "ino": root.lstat().st_ino, "hold": True}
        self._request = Request(header, json.dumps(Rules([]).to_wire()).encode())
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        assert self._armed.wait(10)

    def _listen(self) -> None:
        try:
            for header, body in watching.watch(self._request, self._closing):
                self._armed.set()
                self.heard += json.loads(zlib.decompress(body)) if body else []
                self.full |= bool(header.get("full"))
                self._newest = header.get("mark", self._newest)
        except Refusal as refusal:
            self._refusal = refusal

    def ask(self) -> list[str]:
        """What was heard since the last time."""
        self._marks += 1
        ((answer, _body),) = watching.mark(Request({"mark": self._marks}))
        assert answer["listening"]
        deadline = time.monotonic() + 10
        while self._newest < self._marks:
            if self._refusal is not None:
                raise self._refusal
            assert time.monotonic() < deadline
            time.sleep(0.005)
        heard, self.heard = self.heard, []
        return heard

    def close(self) -> None:
        self._closing.set()
        list(watching.mark(Request({"mark": 0})))  # wakes it, which an agent that ends has no need of
        self._thread.join()


@contextmanager
def descriptor_of(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield
    finally:
        os.close(descriptor)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "src").mkdir(parents=True)
    return root


@pytest.fixture
def listener(root: Path, tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(root, tmp_path / "state")
    yield listener
    listener.close()


def test_nothing_is_told_before_it_is_asked_for_and_then_everything(root: Path, listener: Listener) -> None:
    (root / "src/a").write_text("1")
    (root / "b").write_text("1")
    assert listener.heard == []
    assert listener.ask() == ["b", "src/a"]
    assert listener.ask() == []


def test_the_last_write_before_the_question_is_in_the_answer(root: Path, listener: Listener) -> None:
    for number in range(200):
        (root / f"src/{number}").write_text("1")
        assert f"src/{number}" in listener.ask()


def test_what_was_heard_before_a_look_at_everything_is_news_no_more_but_nothing_that_came_after() -> None:
    settling = Settling()
    for path, at in (("before", 1.0), ("again", 1.0), ("again", 3.0), ("after", 2.5)):
        settling.hear(Sign(path, False, COMPLETE), at)
    settling.forget(before=2.0)
    assert settling.take(None).paths == {"again", "after"}


def test_too_many_paths_are_no_news_but_a_reason_to_look_at_everything() -> None:
    settling = Settling()
    for number in range(11):
        settling.hear(Sign(str(number), False, COMPLETE), 1.0)
    settling.condense(10)
    assert settling.take(None) == (frozenset(), True)


def test_a_mark_without_a_listener_says_so() -> None:
    ((answer, _body),) = watching.mark(Request({"mark": 1}))
    assert answer == {"listening": False}


def test_a_folder_that_was_replaced_while_somebody_has_it_open_answers_no_mark(root: Path, listener: Listener) -> None:
    assert listener.ask() == []
    with descriptor_of(root):  # so that the kernel does not tell of its end
        shutil.rmtree(root)
        root.mkdir()
        with pytest.raises(Refusal) as refused:
            listener.ask()
    assert refused.value.code == "changed"
