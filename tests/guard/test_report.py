from __future__ import annotations

import json
import os

import pytest

from devpod_rp import guard
from devpod_rp.agent.exposure import baseline as baselines
from devpod_rp.errors import ExitCode
from devpod_rp.guard import rules
from devpod_rp.pod.link import AgentLink
from tests.agent.containers import OVERLAY_ROOT, Container
from tests.guard.links import DirectLink, Sandbox, can_make_sandboxes


@pytest.fixture
def pod(tmp_path):
    container = Container(tmp_path)
    container.runs(8, "sleep infinity")
    container.boots()
    return container


def inspect(pod, volume_path="/workspace"):
    return guard.inspect(DirectLink(pod), volume_path=volume_path)


def names(report):
    return [risk.path for risk in report.at_risk]


def test_a_fresh_pod_is_safe_to_stop(pod):
    guard.record_baseline(DirectLink(pod), volume_path="/workspace")
    report = inspect(pod)
    assert report.safe_to_stop
    assert report.at_risk == ()
    assert report.baseline


def test_a_precious_file_makes_a_stop_unsafe(pod):
    pod.write("/root/precious.txt")
    report = inspect(pod)
    assert not report.safe_to_stop
    assert names(report) == ["/root/precious.txt"]
    assert report.paths_to_rescue() == ["/root/precious.txt"]


def test_the_json_has_the_promised_keys(pod):
    pod.write("/root/a.py", "print()")
    document = json.loads(json.dumps(inspect(pod).as_json()))
    assert document["safe_to_stop"] is False
    [risk] = document["at_risk"]
    assert risk == {
        "path": "/root/a.py",
        "size": 7,
        "kind": "code",
        "reason": "source code, new since the container started, only on the container disk",
        "sole_copy": True,
        "other_names": [],
    }
    assert document["rebuildable"] == []
    assert document["processes"] == []
    assert document["scanned_files"] >= 3
    assert document["seconds"] >= 0


def test_a_file_that_is_also_on_the_volume_is_listed_but_safe(pod):
    pod.write("/root/a.py", "print()")
    pod.write("/workspace/project/a.py", "print()")
    report = inspect(pod)
    assert report.safe_to_stop
    assert [(risk.path, risk.sole_copy) for risk in report.at_risk] == [("/root/a.py", False)]
    assert "same content on the volume" in report.at_risk[0].reason


def test_after_a_rescue_the_same_report_says_safe(pod):
    pod.write("/root/a.py", "print()")
    os.link(pod.path("/root/a.py"), pod.path("/root/b.py"))
    pod.write("/root/empty", "")
    pod.path("/root/link").symlink_to("/root/a.py")
    link = DirectLink(pod)
    paths = inspect(pod).paths_to_rescue()
    assert sorted(paths) == ["/root/a.py", "/root/b.py", "/root/empty", "/root/link"]
    saved = guard.rescue(link, paths, volume_path="/workspace")
    assert saved.complete
    assert (saved.files, saved.bytes) == (4, 7 + len("/root/a.py"))
    report = inspect(pod)
    assert report.safe_to_stop, report.sole_copies
    pod.write("/root/a.py", "print(1)")
    assert not inspect(pod).safe_to_stop


def test_a_workspace_that_is_no_mount_saves_nothing_and_the_report_says_so(tmp_path):
    pod = Container(tmp_path, [OVERLAY_ROOT])
    pod.boots()
    pod.write("/workspace/model.pt")
    pod.write("/root/model.pt")
    report = inspect(pod)
    assert sorted(names(report)) == ["/root/model.pt", "/workspace/model.pt"]
    assert len(report.sole_copies) == 2
    assert "directory on the container disk" in report.volume_missing
    with pytest.raises(guard.RescueRefused, match="no volume") as refused:
        guard.rescue(DirectLink(pod), ["/root/model.pt"], volume_path="/workspace")
    assert refused.value.exit_code is ExitCode.WOULD_LOSE_DATA


def test_an_environment_without_volume_has_everything_at_risk(pod):
    pod.write("/workspace/a.py")
    assert names(inspect(pod, volume_path=None)) == ["/workspace/a.py"]


def test_a_guard_that_cannot_look_says_so(pod):
    guard.record_baseline(DirectLink(pod))
    (pod.path(baselines.DIRECTORY) / "baseline.json").write_text("damaged")
    with pytest.raises(guard.GuardBlind, match="cannot be read") as blind:
        inspect(pod)
    assert blind.value.exit_code is ExitCode.WOULD_LOSE_DATA
    assert "--force" in blind.value.hint


def test_a_place_that_could_not_be_looked_into_is_not_called_safe(pod):
    deep = pod.path("/root")
    deep.mkdir()
    here = os.open(deep, os.O_RDONLY)
    try:  # deeper than a path can name, so it cannot be looked into
        for _ in range(25):
            os.mkdir("d" * 200, dir_fd=here)
            below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)
    report = inspect(pod)
    assert report.at_risk == ()
    assert not report.safe_to_stop
    assert "could not look into it" in report.problems[0].reason


def test_the_baseline_waits_for_the_boot_only_so_long(tmp_path):
    pod = Container(tmp_path)
    pod.boots()
    pod.write("/root/.bashrc", "boot")
    now = [0.0]

    def wait(seconds):
        now[0] += seconds

    recorded = guard.record_baseline(DirectLink(pod), boot_seconds=3.0, clock=lambda: now[0], wait=wait)
    assert recorded
    assert now[0] == pytest.approx(3.0)
    assert inspect(pod).safe_to_stop


def test_a_second_baseline_records_nothing(pod):
    assert guard.record_baseline(DirectLink(pod))
    pod.write("/root/a.py")
    assert not guard.record_baseline(DirectLink(pod))
    assert names(inspect(pod)) == ["/root/a.py"]


def test_work_that_runs_is_named(pod):
    guard.record_baseline(DirectLink(pod))
    pod.runs(20, "python train.py")
    [process] = inspect(pod).as_json()["processes"]
    assert (process["pid"], process["command"], process["kind"]) == (20, "python train.py", "program")


def test_files_are_grouped_by_folder_with_totals(pod):
    pod.write("/root/a/x.py", "1" * 10)
    pod.write("/root/a/deep/y.py", "1" * 20)
    pod.write("/srv/z.py", "1" * 5)
    folders = [(folder.path, folder.files, folder.size) for folder in inspect(pod).folders(depth=2)]
    assert folders == [("/root/a", 2, 30), ("/srv", 1, 5)]


def test_the_rescue_tells_how_far_it_is(pod):
    pod.write("/root/a.py", "print()")
    events = []
    guard.rescue(DirectLink(pod), ["/root/a.py"], volume_path="/workspace", progress=events.append, size=7)
    assert {event.stage for event in events} == {"rescue"}
    assert (events[-1].done, events[-1].total, events[-1].unit) == (7, 7, "bytes")


def test_past_rescues_are_listed(pod):
    pod.write("/root/a.py", "print()")
    link = DirectLink(pod)
    saved = guard.rescue(link, ["/root/a.py"], volume_path="/workspace")
    [past] = guard.list_rescues(link, "/workspace")
    assert (past.destination, past.files, past.bytes, past.complete) == (saved.destination, 1, 7, True)


@pytest.fixture
def sandbox(tmp_path):
    if not can_make_sandboxes():
        pytest.skip("needs root and namespaces")
    box = Sandbox(tmp_path)
    yield box
    box.close()


@pytest.fixture
def link(sandbox):
    with AgentLink.open(sandbox.connection()) as link:
        yield link


@pytest.mark.slow
class TestInARealContainer:
    def test_nothing_is_at_risk_right_after_the_boot(self, link):
        assert guard.record_baseline(link, volume_path="/workspace")
        report = guard.inspect(link, volume_path="/workspace")
        assert report.safe_to_stop, (report.at_risk, report.problems)
        assert report.scanned_files > 1000
        assert report.processes == ()

    def test_changes_on_the_disk_and_in_overlays_are_found_and_the_volume_is_not(self, sandbox, link):
        guard.record_baseline(link, volume_path="/workspace")
        sandbox.run(
            "echo precious > /root/precious.txt; echo new > /usr/local/tool.py; cp -p /usr/bin/env /root/env;"
            " echo safe > /workspace/safe.txt; echo x > /dev/memory; mv /etc/hostname /etc/renamed;"
            " ln -s /workspace/safe.txt /root/link; touch -d 2001-01-01 /root/old.csv;"
            " mkdir -p /workspace/same; echo twice > /root/twice.txt; cp /root/twice.txt /workspace/same/t"
        )
        report = guard.inspect(link, volume_path="/workspace")
        assert {risk.path: risk.sole_copy for risk in report.at_risk} == {
            "/root/precious.txt": True,
            "/usr/local/tool.py": True,
            "/root/env": True,
            "/etc/renamed": True,
            "/root/old.csv": True,
            "/root/link": False,
            "/root/twice.txt": False,
        }

    def test_rescued_files_are_on_the_volume_with_the_same_bytes(self, sandbox, link):
        guard.record_baseline(link, volume_path="/workspace")
        sandbox.run(
            "mkdir -p /root/w; head -c 3000000 /dev/urandom > /root/w/m.pt 2>/dev/null || seq 99999 > /root/w/m.pt"
        )
        report = guard.inspect(link, volume_path="/workspace")
        saved = guard.rescue(link, report.paths_to_rescue(), volume_path="/workspace", size=report.size)
        assert saved.complete
        assert sandbox.run(f"cmp /root/w/m.pt {saved.destination}/root/w/m.pt && echo same") == "same\n"
        assert guard.inspect(link, volume_path="/workspace").safe_to_stop

    def test_work_started_later_is_named(self, sandbox, link):
        guard.record_baseline(link, volume_path="/workspace")
        sandbox.run("nohup sleep 77 >/dev/null 2>&1 &")
        assert [process.command for process in guard.inspect(link, volume_path="/workspace").processes] == ["sleep 77"]


@pytest.mark.slow
def test_a_plain_directory_as_workspace_is_told_from_a_mount_in_a_real_container(tmp_path):
    if not can_make_sandboxes():
        pytest.skip("needs root and namespaces")
    box = Sandbox(tmp_path, volume=False)
    try:
        with AgentLink.open(box.connection()) as link:
            guard.record_baseline(link, volume_path="/workspace")
            box.run("echo trusted > /workspace/model.pt")
            report = guard.inspect(link, volume_path="/workspace")
            assert [risk.path for risk in report.at_risk] == ["/workspace/model.pt"]
            assert not report.safe_to_stop
    finally:
        box.close()


def test_the_same_content_in_the_folder_here_is_a_copy_whatever_its_name(pod, tmp_path):
    folder = tmp_path / "here"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "other-name").write_bytes(b"1,2,3")
    (folder / "same-size").write_bytes(b"4,5,6")
    pod.write("/root/brought.csv", "1,2,3")
    pod.write("/root/changed.csv", "1,2,4")
    pod.write("/root/empty.py", "")
    (folder / "empty.py").write_bytes(b"")
    report = guard.inspect(DirectLink(pod), volume_path="/workspace", folder=folder)
    assert {risk.path for risk in report.sole_copies} == {"/root/changed.csv", "/root/empty.py"}
    [reason] = [risk.reason for risk in report.at_risk if risk.path == "/root/brought.csv"]
    assert reason == f"same content in {folder}"


def test_what_lies_in_our_trash_here_is_no_copy(pod, tmp_path):
    trash = tmp_path / "here" / ".devpod_rp"
    trash.mkdir(parents=True)
    (trash / "a").write_bytes(b"1,2,3")
    pod.write("/root/a", "1,2,3")
    report = guard.inspect(DirectLink(pod), volume_path="/workspace", folder=tmp_path / "here")
    assert [risk.path for risk in report.sole_copies] == ["/root/a"]


def own_rules(**table):
    return rules.of_spec({"guard": table})


def test_what_the_user_ignores_is_no_loss_and_said_so(pod):
    pod.write("/scratch/big.bin")
    pod.write("/scratch/kept.ckpt")
    own = own_rules(ignore=["/scratch/**"], precious=["**/*.ckpt"])
    report = guard.inspect(DirectLink(pod), volume_path="/workspace", rules=own)
    assert names(report) == ["/scratch/kept.ckpt"]
    assert [each.rule for each in report.left_out] == ["[guard] ignore"]


@pytest.mark.parametrize("path", ["/root/.cache/pip/mine.bin", "/root/.bash_history", "/root/a/__pycache__/a.pyc"])
def test_what_the_user_calls_precious_is_at_risk_though_the_table_calls_it_noise(pod, path):
    pod.write(path)
    assert names(inspect(pod)) == []
    report = guard.inspect(DirectLink(pod), volume_path="/workspace", rules=own_rules(precious=[path]))
    [risk] = report.at_risk
    assert risk.path == path
    assert risk.kind == "precious"
