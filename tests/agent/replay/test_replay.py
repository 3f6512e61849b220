"""What was installed is noted, and comes back in the next container: with commands that really run."""

from __future__ import annotations

import json
import time

import pytest

from devpod_rp.agent.exposure.packages import Package
from devpod_rp.agent.replay import note as notes
from devpod_rp.agent.replay import plan, running
from devpod_rp.agent.wire import Request
from tests.agent.containers import Container


def package(name, kind="pip", version="", **fields):
    how = f"get {name}{version}"
    return Package(kind, name + version, how, batch="get", mark=f"/lib/{name}{version}", **fields)


SIX, TAB, TREE = package("six", version="==1"), package("tab", version="==2"), package("tree", kind="apt")


@pytest.fixture
def note():
    return notes.Note("first", [SIX, TREE], [TAB])


def test_the_next_container_carries_what_it_has_not_got_yet(note):
    seen = notes.renewed(note, "second", [TREE], None)
    assert seen == notes.Note("second", [TREE], [SIX, TAB])
    later = notes.renewed(seen, "second", [TREE, TAB], None)
    assert later == notes.Note("second", [TREE, TAB], [SIX])


def test_a_newer_version_takes_the_older_ones_place(note):
    newer = package("six", version="==2")
    assert notes.renewed(note, "second", [newer], None) == notes.Note("second", [newer], [TREE, TAB])


def test_what_was_brought_back_and_then_uninstalled_stays_away(note):
    done = notes.Answer("done", [TAB.key])
    seen = notes.renewed(note, "second", [TREE], done)
    assert seen == notes.Note("second", [TREE], [TAB]), "only what could not be brought back is carried"


def test_what_is_declined_is_carried_and_what_is_forgotten_is_not(note):
    assert notes.renewed(note, "second", [], notes.Answer("declined", [])).carried == [SIX, TREE, TAB]
    assert notes.renewed(note, "second", [], notes.Answer("forgotten", [])).carried == []


def test_what_is_there_already_is_not_missing(note, tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "tree").touch()
    assert notes.missing(note, "second", str(tmp_path)) == [SIX, TAB]
    assert notes.missing(note, "first", str(tmp_path)) == [TAB], "its own user uninstalled the others"
    assert notes.missing(None, "first") == []


def test_a_damaged_note_is_an_error_and_is_not_overwritten(tmp_path):
    path = tmp_path / notes.FOLDER / "proj.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        notes.keep("", "proj", [SIX], root=str(tmp_path))
    assert path.read_text() == "{"


def test_packages_that_one_manager_takes_together_are_one_command_in_an_order_that_works():
    venv = Package("venv", "/env", "python3 -m venv /env", mark="/env/pyvenv.cfg")
    steps = plan.steps([SIX, package("own", needs="/x"), TAB, venv, TREE], has_uv=True)
    assert [step.command for step in steps] == [
        "apt-get -q update",
        "get tree",
        "python3 -m venv /env",
        "get six==1 own tab==2",
    ]


def test_uv_is_brought_where_it_is_missing():
    used = Package("uv", "six==1", "uv pip install six==1", batch="uv pip install", mark="/x")
    assert [step.command for step in plan.steps([used], has_uv=True)] == ["uv pip install six==1"]
    assert next(step.command for step in plan.steps([used], has_uv=False)) == "python3 -m pip install uv"


# Running them.


@pytest.fixture
def pod(tmp_path):
    container = Container(tmp_path)
    container.boots()
    return container


def real(pod, name, *, works=True, **fields):
    """A package whose command makes its mark, or fails with words."""
    mark = f"/opt/{name}"
    command = f"touch {pod.path(mark)}" if works else f"echo ERROR: no {name} anywhere >&2; false"
    return Package("tool", name, command, mark=mark, **fields)


def noted(pod, *packages):
    path = notes.location(str(pod.path("/workspace")), "proj")
    notes.write(path, notes.Note("an earlier container", list(packages), []))


def ask(pod, op, **fields):
    operation = running.operations(str(pod.root), pod.proc)[op]
    header = {"volume": "/workspace", "name": "proj", "op": op, "id": 1, **fields}
    return list(operation(Request(header, b"")))


def outcome(frames):
    return json.loads(frames[-1][1])


def test_what_is_missing_is_brought_back_and_failures_are_named_with_their_words(pod):
    pod.path("/opt").mkdir()
    noted(pod, real(pod, "one"), real(pod, "two", works=False), real(pod, "three"))
    frames = ask(pod, "replay.run")
    assert outcome(frames) == {"done": ["tool one", "tool three"], "failed": [["tool two", "ERROR: no two anywhere"]]}
    assert pod.path("/opt/one").exists()
    assert {header["command"] for header, _ in frames[:-1]} >= {f"touch {pod.path('/opt/one')}"}
    log = pod.path(running.LOG)
    assert f"$ touch {pod.path('/opt/one')}\n" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


def test_a_command_that_ends_well_and_brings_nothing_is_a_failure(pod):
    noted(pod, Package("tool", "liar", "true", mark="/opt/liar"))
    assert [name for name, _reason in outcome(ask(pod, "replay.run"))["failed"]] == ["tool liar"]


def test_one_that_cannot_be_had_does_not_keep_the_others_away(pod):
    pod.path("/opt").mkdir()
    script = pod.write(
        "/get",
        '#!/bin/sh\nfor each; do [ "$each" = bad ] && exit 1; done\nfor each; do touch DISK/opt/$each; done\n'.replace(
            "DISK", str(pod.root)
        ),
    )
    script.chmod(0o755)
    noted(pod, *(Package("pip", each, f"{script} {each}", str(script), f"/opt/{each}") for each in ("a", "bad", "b")))
    found = outcome(ask(pod, "replay.run"))
    assert found["done"] == ["pip a", "pip b"]
    assert [name for name, _reason in found["failed"]] == ["pip bad"]


def test_what_needs_a_folder_that_is_not_there_waits_for_it(pod):
    pod.path("/opt").mkdir()
    noted(pod, real(pod, "editable", needs="/root/lib"))
    assert "rescue restore" in outcome(ask(pod, "replay.run"))["failed"][0][1]
    pod.path("/root/lib").mkdir(parents=True)
    assert outcome(ask(pod, "replay.run"))["done"] == ["tool editable"]


def test_it_is_offered_until_it_was_answered_and_goes_on_where_it_was_cut(pod):
    pod.path("/opt").mkdir()
    noted(pod, real(pod, "one"), real(pod, "two"))
    operation = running.operations(str(pod.root), pod.proc)["replay.run"]
    running_one = operation(Request({"volume": "/workspace", "name": "proj"}, b""))
    next(running_one)  # the first one is on its way; the next call would begin the second
    while not pod.path("/opt/one").exists():
        time.sleep(0.01)
    running_one.close()
    header, body = ask(pod, "replay.offer")[-1]
    assert header["answer"] is None
    assert [each["name"] for each in json.loads(body)["packages"]] == ["two"]
    assert outcome(ask(pod, "replay.run"))["done"] == ["tool two"]
    assert ask(pod, "replay.offer")[-1][0]["answer"] == "done"


def test_declined_is_said_once_and_forgotten_for_ever(pod):
    noted(pod, real(pod, "one"))
    ask(pod, "replay.decline", forget=False)
    header, body = ask(pod, "replay.offer")[-1]
    assert (header["answer"], len(json.loads(body)["packages"])) == ("declined", 1)
    ask(pod, "replay.decline", forget=True)
    assert json.loads(ask(pod, "replay.offer")[-1][1])["packages"] == []
