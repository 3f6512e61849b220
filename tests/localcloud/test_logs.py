"""Logs as Server-Sent Events."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from devpod_rp.localcloud import timestamps
from devpod_rp.localcloud.ledger import Ledger
from devpod_rp.localcloud.logs import Reader
from tests.localcloud.double import eventually


def log_of(local, pod_id) -> Path:
    return local.host.container_log(local.settings.root / "pods" / pod_id)


def say(local, pod_id, *lines):
    with log_of(local, pod_id).open("a") as log:
        for stamp, text in lines:
            log.write(f"{stamp} {text}\n")


def past(local, pod_id, headers=None, **query):
    """The events of the backfill: what comes before the first comment."""
    with local.client.stream("GET", f"/v2/pods/{pod_id}/logs", params=query, headers=headers) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        assert response.headers["x-accel-buffering"] == "no"
        assert "ratelimit" in response.headers
        return list(events(response))


def events(response: httpx.Response):
    event_id = None
    for line in response.iter_lines():
        if line.startswith("id: "):
            event_id = line[4:]
        elif line.startswith("data: "):
            yield event_id, json.loads(line[6:])
        elif line.startswith(":"):
            return


def lines(found):
    return [document["line"] for _id, document in found]


def test_the_container_and_the_system_can_be_read_apart_or_together(local):
    pod = local.running()
    container = past(local, pod["id"], source="container")
    assert lines(container) == ["Pod Started"]
    assert container[0][1]["source"] == "container"
    system = lines(past(local, pod["id"], source="system"))
    assert system[0].startswith("allocating a machine")
    assert any(line.startswith("create container") for line in system)
    assert "start container" in system
    both = past(local, pod["id"])
    assert {document["source"] for _id, document in both} == {"container", "system"}
    assert [document["ts"] for _id, document in both] == sorted(document["ts"] for _id, document in both)


def test_event_ids_are_a_time_and_twelve_digits(local):
    pod = local.running()
    for event_id, document in past(local, pod["id"]):
        stamp, _, number = event_id.partition("/")
        assert stamp == document["ts"]
        assert len(number) == 12
        assert number.isdigit()


def test_tail_limits_the_past(local):
    pod = local.running()
    say(local, pod["id"], *[("2026-06-01T12:00:00Z", f"line {number}") for number in range(200)])
    assert len(past(local, pod["id"], source="container")) == 100
    assert lines(past(local, pod["id"], source="container", tail=2)) == ["line 199", "Pod Started"]
    assert past(local, pod["id"], source="container", tail=0) == []
    assert len(past(local, pod["id"], source="container", tail=5000)) == 201


def test_since_and_last_event_id_resume_where_the_reader_left_off(local):
    pod = local.running()
    say(local, pod["id"], ("2030-01-01T00:00:01Z", "one"), ("2030-01-01T00:00:01Z", "two"))
    say(local, pod["id"], ("2030-01-01T00:00:02Z", "three"))
    query = {"source": "container", "tail": 1}
    assert lines(past(local, pod["id"], since="2030-01-01T00:00:02Z", **query)) == ["three"]
    everything = past(local, pod["id"], source="container")
    after_one = {"Last-Event-ID": everything[-3][0]}
    assert lines(past(local, pod["id"], headers=after_one, **query)) == ["two", "three"]
    bare = {"Last-Event-ID": "2030-01-01T00:00:01Z"}
    assert lines(past(local, pod["id"], headers=bare, **query)) == ["one", "two", "three"]


@pytest.mark.parametrize("query", [{"tail": 5001}, {"tail": -1}, {"since": "yesterday"}, {"source": "kernel"}])
def test_malformed_requests_are_refused(local, query):
    pod = local.create()
    assert local.client.get(f"/v2/pods/{pod['id']}/logs", params=query).status_code == 422


def test_new_lines_are_streamed_and_the_stream_ends_with_the_pod(local):
    pod = local.running()
    path = f"/v2/pods/{pod['id']}/logs"
    with local.client.stream("GET", path, params={"source": "container", "tail": 0}) as response:
        incoming = response.iter_lines()
        assert next(incoming).startswith(":")
        say(local, pod["id"], ("2030-01-01T00:00:00Z", "fresh"))
        fresh = next(line for line in incoming if line.startswith("data: "))
        assert json.loads(fresh[6:])["line"] == "fresh"
        local.client.delete(f"/v2/pods/{pod['id']}")
        assert list(incoming)[-1:] in ([], [""], [": waiting"])


def test_an_open_stream_does_not_hold_up_the_end_of_the_server(local):
    pod = local.running()
    with local.client.stream("GET", f"/v2/pods/{pod['id']}/logs") as response:
        list(events(response))
        local.client.post("/local/stop")
        eventually(lambda: not local._thread.is_alive(), "the server ends")


def test_a_reader_survives_half_lines_bare_lines_and_truncation(tmp_path):
    ledger, file = Ledger(tmp_path / "l.sqlite3"), tmp_path / "container.log"
    reader = Reader("p", file, ledger, ["container"])
    assert reader.read() == []
    file.write_bytes(b"2030-01-01T00:00:00.5Z one\n2030-01-01T00:00:01Z half")
    [one] = reader.read()
    assert (one.text, one.at - timestamps.parse("2030-01-01T00:00:00Z")) == ("one", timedelta(milliseconds=500))
    with file.open("ab") as log:
        log.write(b" whole\nno time\rbar\xff\n")
    assert [line.text for line in reader.read()] == ["half whole", "no time\rbar\ufffd"]
    file.write_bytes(b"2030-01-01T00:00:02Z new\n")
    assert [line.text for line in reader.read()] == ["new"]
    ledger.close()
