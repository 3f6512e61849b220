"""What the pod's disk may not have: asked about one question at a time, and never believed to be there too early."""

from __future__ import annotations

import pytest

from devpod_rp.pod.link import AgentRefused, LinkLost
from devpod_rp.sync.unsettled import Unsettled


class Pod:
    """Answers a question when the test says so."""

    def __init__(self) -> None:
        self.asked: list[Reply] = []

    def ask(self) -> Reply:
        self.asked.append(Reply())
        return self.asked[-1]


class Reply:
    def __init__(self) -> None:
        self.has_come = False
        self.error: Exception | None = None

    def comes(self, error: Exception | None = None) -> None:
        self.has_come, self.error = True, error

    def __call__(self) -> None:
        if self.error is not None:
            raise self.error


@pytest.fixture
def pod() -> Pod:
    return Pod()


@pytest.fixture
def unsettled(pod: Pod) -> Unsettled:
    """Two paths, about which the pod was asked."""
    unsettled = Unsettled()
    unsettled.add(["a", "b"])
    unsettled.ask(pod.ask)
    return unsettled


def test_nothing_is_sure_before_the_answer_and_all_that_was_asked_about_after_it(
    unsettled: Unsettled, pod: Pod
) -> None:
    assert unsettled.take(wait=False) is None
    assert unsettled.waits
    pod.asked[0].comes()
    assert unsettled.take(wait=False) == {"a", "b"}
    assert unsettled.take(wait=True) is None
    assert not unsettled
    assert not unsettled.waits


def test_what_comes_after_the_question_has_one_of_its_own_when_the_first_is_answered(
    unsettled: Unsettled, pod: Pod
) -> None:
    unsettled.add(["c"])
    unsettled.ask(pod.ask)
    unsettled.ask(pod.ask)
    assert len(pod.asked) == 1
    pod.asked[0].comes()
    assert unsettled.take(wait=False) == {"a", "b"}
    assert len(pod.asked) == 2
    assert unsettled.take(wait=False) is None
    assert unsettled.take(wait=True) == {"c"}
    assert not unsettled


def test_the_answer_says_nothing_about_what_was_sent_again_or_is_no_longer_asked(
    unsettled: Unsettled, pod: Pod
) -> None:
    unsettled.add(["a"])
    unsettled.discard(["b"])
    pod.asked[0].comes()
    assert unsettled.take(wait=False) == set()
    assert unsettled, "a was changed again"
    unsettled.ask(pod.ask)
    assert unsettled.take(wait=True) == {"a"}


def test_nobody_is_asked_about_nothing(pod: Pod) -> None:
    unsettled = Unsettled()
    unsettled.ask(pod.ask)
    assert pod.asked == []
    assert unsettled.take(wait=True) is None


def test_a_disk_that_fails_is_asked_again_only_with_the_next_question(unsettled: Unsettled, pod: Pod) -> None:
    pod.asked[0].comes(AgentRefused("unexpected", "Input/output error"))
    assert unsettled.take(wait=True) == set()
    assert unsettled
    assert not unsettled.waits
    unsettled.add(["c"])
    unsettled.ask(pod.ask)
    assert unsettled.take(wait=True) == {"a", "b", "c"}


def test_a_connection_that_is_lost_makes_nothing_sure(unsettled: Unsettled, pod: Pod) -> None:
    pod.asked[0].comes(LinkLost("cut"))
    with pytest.raises(LinkLost):
        unsettled.take(wait=False)
    assert unsettled
    assert not unsettled.waits


def test_another_connection_is_asked_about_all_of_it(unsettled: Unsettled, pod: Pod) -> None:
    unsettled.add(["c"])
    unsettled.ask(pod.ask)
    unsettled.forget_questions()
    assert not unsettled.waits
    unsettled.ask(pod.ask)
    assert unsettled.take(wait=True) == {"a", "b", "c"}


def test_what_is_cleared_is_asked_about_no_more(unsettled: Unsettled, pod: Pod) -> None:
    unsettled.clear()
    unsettled.ask(pod.ask)
    assert not unsettled
    assert len(pod.asked) == 1
