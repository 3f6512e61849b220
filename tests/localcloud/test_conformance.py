"""Every implemented route answers in every status it documents, and each answer is what the specification says.

Every response in all tests of this directory is checked by the client of ``conftest.py``; here it is made sure that
nothing was left out.
"""

from __future__ import annotations

import pytest

from devpod_rp.localcloud.api.app import ROUTES
from tests.localcloud.conformance import openapi, route_of
from tests.localcloud.conftest import GPU

# 403 exists for keys of a pod; the account's own key may do everything.
SKIPPED = {"403", "429", "default"}


def provoke(local) -> None:
    """Ask everything once, the right way and the wrong ways."""
    client = local.client
    volume = local.volume()
    pod = local.running()
    template = client.post("/v2/templates", json={"name": "t", "image": "i"}).json()
    ids = {
        "/v2/pods": pod["id"],
        "/v2/network-volumes": volume["id"],
        "/v2/templates": template["id"],
        "/v2/catalog/gpus": GPU,
        "/v2/catalog/cpus": "cpu3c",
        "/v2/catalog/datacenters": "EU-RO-1",
    }
    for route in ROUTES:
        path = route.replace("{id}", ids.get(route.partition("/{id}")[0], ""))
        if not route.endswith("logs"):
            client.get(path)
        for method in ROUTES[route]:
            client.request(method, path, headers={"Authorization": "Bearer wrong"}, json={})
            client.request(method, route.replace("{id}", "none"), json={"action": "stop"})
            client.request(method, route.replace("{id}", "none"), json={})
            if method in ("POST", "PUT", "PATCH"):
                client.request(method, path, json={"unknown": 1})
        client.get(f"/v2/catalog/{route}")
    client.put("/v2/account/ssh-keys", json={"keys": ["ssh-ed25519 AAAA me"]})
    client.post("/v2/pods", content=b"x" * 200_000)
    client.post("/v2/pods", json=local.body(templateId="none"))
    client.post("/v2/network-volumes", json={"name": "v", "size": 10, "dataCenter": "nowhere"})
    client.patch(f"/v2/network-volumes/{volume['id']}", json={"size": 11})
    client.patch(f"/v2/network-volumes/{volume['id']}", json={"size": 10})
    client.patch("/v2/network-volumes/none", json={"size": 11})
    client.post("/v2/pods", json=local.body(gpu=None))
    client.post("/v2/templates", json={"name": "t", "image": "i", "registry": "none"})
    client.patch(f"/v2/templates/{template['id']}", json={"registry": "none"})
    client.patch(f"/v2/templates/{template['id']}", json={"disk": 9})
    client.delete(f"/v2/templates/{template['id']}")
    client.patch(f"/v2/pods/{pod['id']}", json={"mounts": {"network": []}})
    client.patch(f"/v2/pods/{pod['id']}", json={"locked": True})
    client.patch(f"/v2/pods/{pod['id']}", json={"disk": 21})
    client.delete(f"/v2/pods/{pod['id']}")
    client.patch(f"/v2/pods/{pod['id']}", json={"locked": False})
    local.act(pod["id"], "start")
    local.act(pod["id"], "stop")
    client.get("/v2/pods", params={"limit": 1})
    local.faults(start="not-enough-gpus")
    local.act(pod["id"], "start")
    client.delete(f"/v2/network-volumes/{volume['id']}")
    local.act(pod["id"], "terminate")
    other = local.create()
    client.delete(f"/v2/pods/{other['id']}")
    with client.stream("GET", f"/v2/pods/{local.create()['id']}/logs"):
        pass


@pytest.mark.skipif(openapi() is None, reason="RunPod's OpenAPI file is not here")
def test_every_documented_status_of_every_route_was_answered(local):
    provoke(local)
    seen = {(method, route_of(path), str(status)) for method, path, status in local.seen}
    documented = {
        (method, route, status)
        for route, methods in ROUTES.items()
        for method in methods
        for status in openapi()["paths"][route][method.lower()]["responses"]
        if status not in SKIPPED
    }
    # No template is ever in use: pods keep no link to theirs.
    documented -= {("DELETE", "/v2/templates/{id}", "400")}
    assert sorted(documented - seen) == []


def test_admin_reset_leaves_an_empty_account(local):
    local.running()
    volume = local.volume()
    mounts = {"network": [{"volumeId": volume["id"], "path": "/workspace"}]}
    locked = local.running(mounts=mounts)
    local.client.patch(f"/v2/pods/{locked['id']}", json={"locked": True})
    local.client.put("/v2/account/ssh-keys", json={"keys": ["ssh-ed25519 AAAA me"]})
    local.faults(create="no-capacity")

    assert local.client.post("/local/reset").json() == {"removed": {"pods": 2, "networkVolumes": 1}}

    assert local.client.get("/v2/pods").json() == {"pods": []}
    assert local.client.get("/v2/network-volumes").json() == {"networkVolumes": []}
    assert local.client.get("/v2/account/ssh-keys").json() == {"keys": []}
    assert local.client.get("/v2/billing/pods").json()["records"] == []
    for name in ("pods", "volume-disks", "network-volumes"):
        assert list((local.settings.root / name).iterdir()) == []
    assert local.running()["status"] == "RUNNING"


def test_admin_status_tells_about_process_pods_and_sandbox(local):
    pod = local.running()
    status = local.client.get("/local/status").json()
    assert status["simulated"] is True
    assert status["pid"] > 0
    assert status["pods"][0]["id"] == pod["id"]
    assert status["pods"][0]["ssh_port"] == pod["ssh"]["direct"]["port"]
    assert set(status["sandbox"]) == {"available", "privileged", "sshd", "missing", "hint"}
    assert local.client.get("/local/nothing").status_code == 404


@pytest.mark.parametrize("secret", ["ssh-ed25519 AAAA me", "hunter2"])
def test_secrets_never_reach_the_server_log(local, caplog, secret):
    caplog.set_level("DEBUG")
    pod = local.running(env={"PUBLIC_KEY": "ssh-ed25519 AAAA me", "TOKEN": "hunter2"})
    local.client.post("/v2/pods", json=local.body(env={"TOKEN": "hunter2", "N": 1}))
    local.act(pod["id"], "stop")
    assert secret not in caplog.text
    assert local.token not in caplog.text
