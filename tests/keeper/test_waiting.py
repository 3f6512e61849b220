"""Everybody who waits is answered once, and it is known whether anybody does."""

from __future__ import annotations

import pytest

from devpod_rp.errors import SyncError
from devpod_rp.keeper.requests import Request
from devpod_rp.keeper.waiting import Waiting


@pytest.fixture
def told() -> list[bool]:
    return []


@pytest.fixture
def waiting(told: list[bool]) -> Waiting:
    return Waiting(told.append)


def refused(request: Request) -> bool:
    return request.answer.done() and isinstance(request.answer.exception(), SyncError)


def test_whether_anybody_waits_is_told(waiting: Waiting, told: list[bool]) -> None:
    first, second = Request("flush"), Request("plan")
    waiting.add(first)
    waiting.add(second)
    waiting.let_go([first])
    assert told == [True, True, True]
    waiting.refuse_all(SyncError("no"))
    assert told[-1] is False
    assert refused(second)
    assert not first.answer.done()


def test_the_result_is_asked_for_when_the_request_no_longer_waits(waiting: Waiting, told: list[bool]) -> None:
    request = Request("flush")
    waiting.add(request)
    waiting.fulfil([request], lambda: {"anybody": told[-1]})
    assert request.answer.result(0) == {"anybody": False}
    assert waiting.all() == []


def test_who_came_after_an_attempt_began_waits_for_the_next_one(waiting: Waiting) -> None:
    early, late = Request("flush"), Request("flush")
    waiting.add(early)
    waiting.promise()
    waiting.add(late)
    waiting.refuse_promised(SyncError("not connected"))
    assert refused(early)
    assert waiting.all() == [late]
    waiting.refuse_promised(SyncError("not connected"))
    assert not late.answer.done()
