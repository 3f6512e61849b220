"""The life of a pod as a client of the API sees it."""

from __future__ import annotations

from typing import Any

import pytest

from devpod_rp.localcloud.delays import Delays
from devpod_rp.localcloud.problems import NO_CAPACITY
from tests.localcloud.conftest import GPU, LocalCloud
from tests.localcloud.double import DoubleHost, container_disk, eventually, quick_settings


def disk_of(local: LocalCloud, pod_id: str) -> Any:
    return container_disk(local.settings.root / "pods" / pod_id)


def precious(local: LocalCloud, pod_id: str) -> Any:
    """A file on the container disk of a running pod."""
    path = disk_of(local, pod_id) / "precious.txt"
    path.write_text("precious")
    return path


def test_a_pod_is_seen_provisioning_then_starting_then_running(tmp_path):
    local = LocalCloud(quick_settings(tmp_path, delays=Delays(0.2, 0.2, 0.3)), DoubleHost()).start()
    try:
        pod = local.create()
        assert pod["status"] == "PROVISIONING"
        assert pod["actions"] == ["stop", "terminate"]
        assert pod["runtime"] is None
        assert pod["ssh"]["direct"] is None
        assert pod["cost"] > 0
        local.until(pod["id"], "STARTING")
        running = local.until(pod["id"], "RUNNING")
    finally:
        local.stop()
    assert running["actions"] == ["stop", "restart", "terminate"]
    assert running["ssh"]["direct"]["port"] == next(
        row["public"] for row in running["runtime"]["ports"] if row["private"] == 22
    )
    assert running["startedAt"] is not None


def test_stop_wipes_the_container_disk_and_keeps_the_volume(local):
    pod = local.running()
    file = precious(local, pod["id"])
    volume = local.settings.root / "volume-disks" / pod["id"]
    (volume / "kept.txt").write_text("kept")

    stopped = local.act(pod["id"], "stop").json()

    assert (stopped["status"], stopped["cost"], stopped["actions"]) == ("EXITED", 0.0, ["start", "terminate"])
    eventually(lambda: not file.exists(), "the container disk is wiped")
    assert (volume / "kept.txt").read_text() == "kept"


def test_every_start_gets_a_new_ssh_port_and_host_name(local):
    pod = local.running()
    first = local.host.containers[pod["id"]].machine
    local.act(pod["id"], "stop")
    assert local.act(pod["id"], "start").json()["status"] == "STARTING"
    again = local.until(pod["id"], "RUNNING")
    second = local.host.containers[pod["id"]].machine
    assert second.ssh_port == again["ssh"]["direct"]["port"] != first.ssh_port
    assert second.hostname != first.hostname
    assert first.env["RUNPOD_TCP_PORT_22"] == str(first.ssh_port)


def test_restart_wipes_the_container_disk(local):
    pod = local.running()
    file = precious(local, pod["id"])
    assert local.act(pod["id"], "restart").json()["status"] == "STARTING"
    local.until(pod["id"], "RUNNING")
    assert not file.exists()
    assert local.did("start", pod["id"]) == 2


def test_terminate_destroys_the_volume_disk_and_the_pod_is_gone(local):
    pod = local.running()
    volume = local.settings.root / "volume-disks" / pod["id"]
    assert volume.exists()
    assert local.client.delete(f"/v2/pods/{pod['id']}").status_code == 204
    assert local.client.get(f"/v2/pods/{pod['id']}").status_code == 404
    assert local.client.get("/v2/pods").json()["pods"] == []
    eventually(lambda: not volume.exists() and not disk_of(local, pod["id"]).parent.exists(), "its disks are gone")
    assert local.client.delete(f"/v2/pods/{pod['id']}").status_code == 404


def test_terminate_as_an_action_answers_204(local):
    pod = local.create()
    assert local.act(pod["id"], "terminate").status_code == 204


@pytest.mark.parametrize(("status", "action"), [("RUNNING", "start"), ("EXITED", "stop"), ("EXITED", "restart")])
def test_an_action_that_does_not_fit_the_status_is_refused(local, status, action):
    pod = local.running()
    if status == "EXITED":
        local.act(pod["id"], "stop")
    assert local.act(pod["id"], action).status_code == 409


def test_a_locked_pod_cannot_be_stopped_edited_or_terminated(local):
    pod = local.running()
    path = f"/v2/pods/{pod['id']}"
    assert local.client.patch(path, json={"locked": True}).json()["locked"] is True
    for action in ("stop", "restart", "terminate"):
        assert local.act(pod["id"], action).status_code == 409
    assert local.client.delete(path).status_code == 409
    assert local.client.patch(path, json={"image": "ubuntu"}).status_code == 409
    assert local.client.patch(path, json={"locked": False}).json()["actions"] == ["stop", "restart", "terminate"]
    assert local.act(pod["id"], "stop").status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"image": "ubuntu:24.04"},
        {"env": {"A": "1"}},
        {"ports": ["22/tcp"]},
        {"disk": 30},
        {"args": "sleep 1000"},
        {"cmd": ["sleep", "1000"]},
        {"mounts": {"persistent": {"size": 20, "path": "/data"}}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_editing_the_container_of_a_running_pod_resets_it(local, change):
    pod = local.running()
    file = precious(local, pod["id"])
    edited = local.client.patch(f"/v2/pods/{pod['id']}", json=change).json()
    assert edited["status"] == "STARTING"
    local.until(pod["id"], "RUNNING")
    assert not file.exists()


def test_renaming_a_pod_leaves_its_container_alone(local):
    pod = local.running()
    file = precious(local, pod["id"])
    renamed = local.client.patch(f"/v2/pods/{pod['id']}", json={"name": "other", "disk": 20}).json()
    assert (renamed["name"], renamed["status"]) == ("other", "RUNNING")
    assert file.exists()


def test_env_on_patch_replaces_the_whole_map(local):
    pod = local.create(env={"A": "1", "B": "2"})
    edited = local.client.patch(f"/v2/pods/{pod['id']}", json={"env": {"C": "3"}}).json()
    assert edited["env"] == {"C": "3"}


@pytest.mark.parametrize(
    "mounts",
    [
        {"network": []},
        {"network": [{"volumeId": "x", "path": "/w"}]},
        {"persistent": {"size": 10, "path": "/workspace"}},
        {"persistent": {"size": 20, "path": "/w"}, "network": [{"volumeId": "x", "path": "/w"}]},
    ],
    ids=["cleared", "another kind", "smaller", "both"],
)
def test_mounts_cannot_be_changed_in_kind_or_made_smaller(local, mounts):
    pod = local.create()
    assert local.client.patch(f"/v2/pods/{pod['id']}", json={"mounts": mounts}).status_code == 400


def test_start_ssh_gives_the_account_keys_unless_the_request_brings_its_own(local):
    keys = ["ssh-ed25519 AAAA one", "ssh-rsa BBBB two"]
    assert local.client.put("/v2/account/ssh-keys", json={"keys": keys}).json() == {"keys": keys}
    from_account = local.running(env={})
    own = local.running(env={"PUBLIC_KEY": "ssh-ed25519 CCCC mine"})
    neither = local.running(env={}, startSsh=False)
    envs = {pod["id"]: local.host.containers[pod["id"]].machine.env for pod in (from_account, own, neither)}
    assert envs[from_account["id"]]["PUBLIC_KEY"] == "\n".join(keys)
    assert envs[own["id"]]["PUBLIC_KEY"] == "ssh-ed25519 CCCC mine"
    assert "PUBLIC_KEY" not in envs[neither["id"]]
    assert "PUBLIC_KEY" not in from_account["env"], "what was injected is never returned"


def test_start_jupyter_injects_a_password(local):
    pod = local.running(startJupyter=True)
    assert len(local.host.containers[pod["id"]].machine.env["JUPYTER_PASSWORD"]) >= 16
    assert "JUPYTER_PASSWORD" not in pod["env"]


def test_a_pod_knows_itself_by_runpods_variables(local):
    volume = local.volume()
    mounts = {"network": [{"volumeId": volume["id"], "path": "/workspace"}]}
    pod = local.running(mounts=mounts, ports=["22/tcp", "5000/tcp"])
    env = local.host.containers[pod["id"]].machine.env
    assert env["RUNPOD_POD_ID"] == pod["id"]
    assert env["RUNPOD_DC_ID"] == pod["dataCenterId"] == "EU-RO-1"
    assert env["RUNPOD_GPU_COUNT"] == "1"
    assert int(env["RUNPOD_CPU_COUNT"]) == pod["gpu"]["vcpuCount"]
    assert env["RUNPOD_PUBLIC_IP"] == "127.0.0.1"
    assert env["RUNPOD_TCP_PORT_5000"] == "5000"
    assert env["RUNPOD_VOLUME_ID"] == volume["id"]
    assert env["CUDA_VERSION"] == pod["cudaVersion"]
    assert env["PYTORCH_VERSION"] == "2.8.0"


def test_the_pods_own_key_reaches_that_pod_and_nothing_else(local):
    pod, other = local.running(), local.create()
    key = local.host.containers[pod["id"]].machine.env["RUNPOD_API_KEY"]
    headers = {"Authorization": f"Bearer {key}"}
    assert local.client.get(f"/v2/pods/{pod['id']}", headers=headers).status_code == 200
    for path in (f"/v2/pods/{other['id']}", "/v2/pods", "/v2/account/ssh-keys", "/local/status"):
        assert local.client.get(path, headers=headers).status_code == 403
    stop = local.client.post(f"/v2/pods/{pod['id']}/action", json={"action": "stop"}, headers=headers)
    assert stop.status_code == 200


def test_the_command_is_shown_in_all_its_spellings(local):
    words = ["bash", "-lc", "echo 'a b'; sleep infinity"]
    pod = local.running(cmd=words)
    assert pod["cmd"] == words
    assert pod["entrypoint"] == []
    assert local.host.containers[pod["id"]].machine.start_command == tuple(words)
    raw = local.create(args="python -m http.server 80")
    assert raw["cmd"] == ["python", "-m", "http.server", "80"]
    both = local.client.post("/v2/pods", json=local.body(args="sleep 1", cmd=["sleep", "2"]))
    assert both.status_code == 400


def test_an_official_image_starts_by_its_own_script_and_a_bare_one_just_stays(local):
    assert local.host.containers[local.running()["id"]].machine.start_command is None
    bare = local.running(image="ubuntu:24.04")
    assert local.host.containers[bare["id"]].machine.start_command == ("sleep", "infinity")


def test_a_container_that_exits_is_started_again_on_its_disk(local):
    pod = local.running()
    file = precious(local, pod["id"])
    local.host.containers[pod["id"]].running = False
    eventually(lambda: local.did("start", pod["id"]) == 2, "it is started again")
    assert file.exists()
    assert local.pod(pod["id"])["status"] == "RUNNING"


def test_a_container_that_cannot_start_makes_the_pod_an_error_and_keeps_its_disk(local):
    pod = local.running()
    local.act(pod["id"], "stop")
    local.host.refuse_to_start = "unshare: Operation not permitted."
    local.act(pod["id"], "start")
    failed = local.until(pod["id"], "ERROR")
    assert (failed["actions"], failed["cost"]) == (["start", "terminate"], 0.0)
    status = local.client.get("/local/status").json()
    assert status["pods"][0]["failure"] == "unshare: Operation not permitted."
    local.host.refuse_to_start = None
    local.act(pod["id"], "start")
    local.until(pod["id"], "RUNNING")


def test_a_stopped_pod_needs_free_gpus_on_its_host(local):
    pod = local.running()
    local.act(pod["id"], "stop")
    local.faults(stock={GPU: "NONE"})
    refused = local.act(pod["id"], "start")
    assert (refused.status_code, refused.json()) == (400, {"error": "not enough free GPUs on the host machine"})
    local.faults(start="not-enough-gpus")
    assert local.act(pod["id"], "start").status_code == 400
    local.faults()
    assert local.act(pod["id"], "start").status_code == 200


def test_running_pods_use_up_the_stock(local):
    scarce = {"id": GPU, "count": 2}
    first = local.create(gpu=scarce, dataCenterIds=["US-TX-3"])
    refused = local.client.post("/v2/pods", json=local.body(gpu=scarce, dataCenterIds=["US-TX-3"]))
    assert refused.status_code == 400
    assert refused.json()["detail"] == NO_CAPACITY
    local.act(first["id"], "stop")
    assert local.client.post("/v2/pods", json=local.body(gpu=scarce, dataCenterIds=["US-TX-3"])).status_code == 201


def test_lists_come_in_pages_newest_first(local):
    made = [local.create(name=f"pod-{number}")["id"] for number in range(5)][::-1]
    everything = local.client.get("/v2/pods").json()
    assert [pod["id"] for pod in everything["pods"]] == made
    assert "pagination" not in everything
    first = local.client.get("/v2/pods", params={"limit": 2}).json()
    second = local.client.get("/v2/pods", params={"limit": 2, "cursor": first["pagination"]["nextCursor"]}).json()
    last = local.client.get("/v2/pods", params={"limit": 2, "cursor": second["pagination"]["nextCursor"]}).json()
    assert [pod["id"] for page in (first, second, last) for pod in page["pods"]] == made
    assert last["pagination"] == {"nextCursor": None, "hasNextPage": False}
    for query in ({"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"cursor": "nonsense"}, {"cursor": "eyJhIjoxfQ=="}):
        assert local.client.get("/v2/pods", params=query).status_code == 422


def test_an_older_server_ignores_the_page_size(local):
    local.create()
    local.create()
    local.faults(pagination=False)
    answer = local.client.get("/v2/pods", params={"limit": 1}).json()
    assert len(answer["pods"]) == 2
    assert "pagination" not in answer


def test_a_container_that_will_not_end_keeps_its_disk_until_it_does(local):
    pod = local.running()
    file = precious(local, pod["id"])
    local.host.refuse_to_stop = True
    local.act(pod["id"], "stop")
    eventually(lambda: ("refused to stop", pod["id"]) in local.host.history, "a first attempt fails")
    assert file.exists()
    local.host.refuse_to_stop = False
    eventually(lambda: not file.exists(), "it is stopped and wiped after all")
    assert local.pod(pod["id"])["status"] == "EXITED"


def test_a_server_that_nobody_needs_ends_by_itself(tmp_path):
    local = LocalCloud(quick_settings(tmp_path, idle_seconds=0.3), DoubleHost()).start()
    pod = local.running()
    local.act(pod["id"], "stop")
    eventually(lambda: not local._thread.is_alive(), "it ends")
    assert not local.settings.endpoint.exists()
    local.stop()


def test_a_server_with_a_running_pod_stays(tmp_path):
    local = LocalCloud(quick_settings(tmp_path, idle_seconds=0.2), DoubleHost()).start()
    try:
        pod = local.running()
        local._thread.join(1.0)
        assert local._thread.is_alive()
        assert local.pod(pod["id"])["status"] == "RUNNING"
    finally:
        local.stop()


def test_where_no_sandbox_is_possible_a_create_says_what_is_missing(local):
    from dataclasses import replace

    local.host.support = replace(
        local.host.support, available=False, missing="user namespaces are disabled.", hint="Enable them."
    )
    local.stop()
    local.start()
    refused = local.client.post("/v2/pods", json=local.body())
    assert refused.status_code == 400
    assert refused.json()["detail"] == "This machine cannot run pods: user namespaces are disabled. Enable them."
