"""Container disk and volumes: what a stop wipes, what it keeps, and what two pods share."""

from __future__ import annotations

import pytest

from devpod_rp.guard.report import inspect, record_baseline
from devpod_rp.localcloud.sandbox import Mount
from tests.localcloud.double import eventually
from tests.localcloud.sandbox.conftest import MakePod

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


def test_a_stop_wipes_the_container_disk_and_keeps_the_volume(make_pod: MakePod) -> None:
    pod = make_pod().start()
    fresh = pod.says("find / -xdev -newer /proc/1/cmdline 2>/dev/null | sort; ls -A /etc /usr /root")
    pod.says("echo a > /root/a; echo b > /etc/b; echo c > /usr/local/c; echo kept > /workspace/kept; mkdir /opt/new")
    first = pod.machine.ssh_port
    pod.stop()
    assert pod.processes() == []
    assert pod.mounts() == []
    assert (pod.volume / "kept").read_text() == "kept\n"
    pod.start()
    assert pod.machine.ssh_port != first
    assert pod.ssh("ls /root/a /etc/b /usr/local/c /opt/new").stdout == b""
    assert pod.says("cat /workspace/kept") == "kept\n"
    assert "/etc" in fresh


def test_without_a_wipe_the_container_disk_goes_on(make_pod: MakePod) -> None:
    pod = make_pod().start()
    pod.says("echo a > /root/a; rm /etc/hostname")
    pod.stop(wipe=False)
    pod.start()
    assert pod.says("cat /root/a") == "a\n"


def test_the_host_keys_are_new_after_a_wipe_and_printed_to_the_log(make_pod: MakePod) -> None:
    pod = make_pod().start()
    keys = "for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $key || cat $key; done"
    before = pod.says(keys)
    eventually(lambda: "SHA256:" in pod.log(), "the fingerprints are in the log")
    pod.stop()
    pod.start()
    assert pod.says(keys) != before


def test_a_network_volume_is_shared_by_two_pods(make_pod: MakePod, tmp_path_factory: pytest.TempPathFactory) -> None:
    shared = (Mount(tmp_path_factory.mktemp("network-volume"), "/data"),)
    one, two = make_pod(mounts=shared).start(), make_pod(mounts=shared).start()
    one.says("echo from one > /data/file")
    assert two.says("cat /data/file") == "from one\n"
    two.says("echo from two >> /data/file")
    assert one.says("cat /data/file") == "from one\nfrom two\n"
    assert one.ssh("ls /workspace/x").returncode != 0


def test_the_volume_is_a_mount_and_nothing_else_is_on_it(make_pod: MakePod) -> None:
    pod = make_pod().start()
    mounted = {line.split()[4]: line.split()[3] for line in pod.says("cat /proc/self/mountinfo").splitlines()}
    assert mounted["/workspace"].endswith(pod.volume.name)
    assert [where for where, root in mounted.items() if pod.volume.name in root] == ["/workspace"]


def test_stopping_sends_sigterm_first_and_kills_what_does_not_listen(make_pod: MakePod) -> None:
    pod = make_pod().start()
    pod.says(
        'nohup sh -c \'trap "echo heard > /workspace/heard; exit" TERM; touch /workspace/listens;'
        " while :; do sleep 0.1; done' >/dev/null 2>&1 &"
        "nohup sh -c 'trap \"\" TERM; touch /workspace/deaf; while :; do sleep 0.1; done' >/dev/null 2>&1 &"
    )
    eventually(lambda: all((pod.volume / name).exists() for name in ("listens", "deaf")), "both have set their traps")
    pod.stop()
    assert (pod.volume / "heard").read_text() == "heard\n"
    assert pod.processes() == []


def test_what_the_image_brings_is_not_taken_for_the_pods_work(make_pod: MakePod) -> None:
    pod = make_pod().start()
    link = pod.agent()
    try:
        record_baseline(link, volume_path="/workspace")
        pod.says("echo mine > /usr/local/share/mine; echo kept > /workspace/kept")
        pod.says("echo fast > /dev/shm/checkpoint.pt; echo > /dev/shm/sem.mp-x; echo > /dev/shm/torch_1_2")
        report = inspect(link, volume_path="/workspace")
    finally:
        link.close()
    assert {risk.path for risk in report.at_risk} == {"/usr/local/share/mine", "/dev/shm/checkpoint.pt"}
