"""Lists are read to their end, whether the server cuts them into pages or not."""

from __future__ import annotations

from urllib.parse import parse_qs

import httpx
import pytest

from devpod_rp.runpod import errors
from devpod_rp.runpod.model import AvailabilityLevel, PodStatus
from tests.runpod.scripted import Script, ok


def pods(*names: str, cursor: str | None = None, more: bool | None = None) -> httpx.Response:
    document: dict = {"pods": [{"id": name, "name": name, "status": "RUNNING"} for name in names]}
    if more is not None:
        document["pagination"] = {"nextCursor": cursor, "hasNextPage": more}
    return ok(document)


def names(script: Script) -> list[str]:
    return [pod.id for pod in script.client.list_pods()]


def test_a_server_without_pages_is_asked_once() -> None:
    assert names(Script([pods("a", "b")])) == ["a", "b"]


def test_every_page_is_read_in_order() -> None:
    script = Script([pods("a", cursor="c/1", more=True), pods("b", cursor="c2", more=True), pods("c", more=False)])
    assert names(script) == ["a", "b", "c"]
    queries = [parse_qs(each.url.query.decode()) for each in script.requests]
    assert [query.get("cursor") for query in queries] == [None, ["c/1"], ["c2"]]


def test_a_last_page_that_still_has_a_cursor_is_the_last() -> None:
    assert names(Script([pods("a", cursor="c1", more=False)])) == ["a"]


def test_a_cursor_that_does_not_move_ends_the_list() -> None:
    script = Script([pods("a", cursor="c1", more=True), pods("b", cursor="c1", more=True)])
    assert names(script) == ["a", "b"]


@pytest.mark.parametrize("document", [{}, {"pods": None}, {"pods": {}}, [], {"pods": [{"id": "p1"}]}])
def test_a_list_of_another_shape_is_not_the_api(document: object) -> None:
    with pytest.raises(errors.NotTheApi):
        Script([ok(document)]).client.list_pods()


def test_what_runpod_adds_later_is_no_error() -> None:
    document = {"pods": [{"id": "a", "name": "a", "status": "FROZEN", "novelty": {"x": 1}, "ssh": {"direct": None}}]}
    [pod] = Script([ok(document)]).client.list_pods()
    assert pod.status is PodStatus.UNKNOWN


def test_the_catalogs_unknown_gpu_is_left_out_and_a_new_stock_level_counts_as_none() -> None:
    def gpu(identity: str, stock: str) -> dict:
        return {"id": identity, "name": identity, "price": {"secure": 1.0}, "maxCount": {}, "availability": stock}

    script = Script([ok({"gpus": [gpu("unknown", "HIGH"), gpu("L4", "PLENTY")]})])
    [found] = script.client.gpu_types(count=2, cloud="SECURE")
    assert (found.id, found.availability) == ("L4", AvailabilityLevel.NONE)
    query = parse_qs(script.requests[0].url.query.decode())
    assert query == {"include": ["AVAILABILITY"], "product": ["POD"], "count": ["2"], "cloud": ["SECURE"]}
