"""The spot market over GraphQL: what counts as a preemption, and refusals that come with HTTP 200."""

from __future__ import annotations

import httpx
import pytest

from devpod_rp.runpod import errors
from tests.runpod.scripted import Scripted


def answer(**data: object) -> httpx.Response:
    return httpx.Response(200, json={"data": data})


@pytest.mark.parametrize(
    "words, preempted",
    [
        ("Exited by Runpod: outbid", True),
        ("Exited by Runpod", True),
        ("Interrupted: Tue Nov 24 2026", True),
        ("Exited by User: Tue Nov 24 2026", False),
        ("Exited by Runpod: the account has no credit left", False),
        ("Exited by Runpod: the host is under maintenance", False),
        ("", False),
        (None, False),
    ],
)
def test_only_what_clearly_speaks_of_the_market_is_a_preemption(words, preempted):
    cloud = Scripted(answer(pod={"desiredStatus": "EXITED", "lastStatusChange": words}))
    assert cloud.client().spot.preempted("abc123") is preempted


def test_a_pod_that_runs_or_is_gone_is_not_preempted():
    running = Scripted(answer(pod={"desiredStatus": "RUNNING", "lastStatusChange": "Exited by Runpod"}))
    assert running.client().spot.preempted("abc123") is False
    assert Scripted(answer(pod=None)).client().spot.preempted("abc123") is False


def test_a_refusal_inside_a_success_is_told_by_its_words():
    refused = httpx.Response(200, json={"data": None, "errors": [{"message": "not enough free GPUs on the host"}]})
    with pytest.raises(errors.NoCapacity, match="not enough free GPUs"):
        Scripted(refused).client().spot.resume("abc123", 0.5, 1)


def test_an_order_whose_answer_is_lost_may_have_happened():
    cloud = Scripted(httpx.ReadTimeout("timed out"))
    with pytest.raises(errors.Ambiguous):
        cloud.client().spot.resume_on_demand("abc123", 1)
    assert len(cloud.requests) == 1


def test_a_question_is_asked_again():
    cloud = Scripted(httpx.ReadTimeout("timed out"), answer(myself={"clientBalance": 3.5, "currentSpendPerHr": 0.7}))
    account = cloud.client().spot.account()
    assert (account.balance, account.spend_per_hour) == (3.5, 0.7)
