"""Catalog, stock, network volumes, templates, faults: what is for sale and how it can go wrong."""

from __future__ import annotations

import pytest

from devpod_rp.errors import ConfigurationError
from devpod_rp.localcloud import catalog
from devpod_rp.localcloud.catalog import Level
from devpod_rp.localcloud.market import matching_cuda
from tests.localcloud.conftest import GPU

STOCK = {"include": "AVAILABILITY", "product": "POD"}


def gpu(local, **query):
    return local.client.get(f"/v2/catalog/gpus/{GPU}", params=query).json()


# -- catalog ---------------------------------------------------------------------------------------------------------
def test_stock_is_shown_only_when_asked_for(local):
    for listing in ("gpus", "cpus"):
        plain = local.client.get(f"/v2/catalog/{listing}").json()[listing]
        assert not any("availability" in item for item in plain)
        stocked = local.client.get(f"/v2/catalog/{listing}", params=STOCK).json()[listing]
        assert all("availability" in item for item in stocked)


@pytest.mark.parametrize(
    "query",
    [
        {"include": "AVAILABILITY"},
        {"product": "POD"},
        {"count": 2},
        {"cloud": "SECURE"},
        {"countryCodes": "US"},
        {"minCudaVersion": "12"},
        {**STOCK, "cudaVersions": "12.8", "minCudaVersion": "12"},
    ],
    ids=lambda query: "+".join(query),
)
def test_filters_that_do_not_go_together_are_refused(local, query):
    assert local.client.get("/v2/catalog/gpus", params=query).status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        {**STOCK, "countryCodes": "us"},
        {**STOCK, "cudaVersions": "12"},
        {**STOCK, "count": 0},
        {**STOCK, "cloud": "ALL"},
        {"include": "EVERYTHING", "product": "POD"},
        {"include": "AVAILABILITY", "product": "TOY"},
    ],
    ids=lambda query: str(list(query.items())[-1]),
)
def test_malformed_filters_are_unprocessable(local, query):
    assert local.client.get("/v2/catalog/gpus", params=query).status_code == 422


def test_stock_follows_count_cloud_country_and_cuda(local):
    assert gpu(local, **STOCK)["availability"] == "HIGH"
    assert gpu(local, **STOCK, count=8)["availability"] == "HIGH"
    too_many = gpu(local, **STOCK, count=9)
    assert too_many["availability"] == "NONE"
    assert "dataCenters" not in too_many
    french = gpu(local, **STOCK, countryCodes="FR")
    assert french["availability"] == "NONE"
    american = gpu(local, **STOCK, countryCodes="US,FR")
    assert {center["id"] for center in american["dataCenters"]} == {"US-KS-2", "US-TX-3"}
    assert [each["version"] for each in gpu(local, **STOCK, minCudaVersion="12.6")["cudaVersions"]] == ["12.6", "12.8"]
    assert gpu(local, **STOCK, minCudaVersion="13")["availability"] == "NONE"


def test_a_country_without_the_gpu_drops_it_from_the_list(local):
    listed = local.client.get("/v2/catalog/gpus", params={**STOCK, "countryCodes": "JP"}).json()["gpus"]
    assert {item["id"] for item in listed} == {"NVIDIA L4", "NVIDIA A100 80GB PCIe", "NVIDIA H100 80GB HBM3"}


def test_cuda_versions_compare_as_numbers():
    assert matching_cuda(["12.11", "12.2", "12.4"], minimum="12.3") == ["12.4", "12.11"]


def test_data_centers_can_be_filtered_and_show_what_they_offer(local):
    def ids(**query):
        found = local.client.get("/v2/catalog/datacenters", params=query).json()["dataCenters"]
        return {center["id"] for center in found}

    assert ids(regions="ASIA,NORTH_AMERICA") == {"US-KS-2", "US-CA-2", "US-TX-3", "AP-JP-1"}
    assert ids(networkVolumeTypes="STANDARD,HIGH_PERFORMANCE") == {"EU-CZ-1", "US-KS-2"}
    assert ids(compliance="GDPR,RENEWABLE") == {"EUR-IS-1"}
    assert ids(globalNetwork="false", regions="EUROPE") == {"EU-SE-1"}
    center = local.client.get(
        "/v2/catalog/datacenters/US-KS-2", params={"include": "GPU_AVAILABILITY,CPU_AVAILABILITY"}
    ).json()
    assert {"id": GPU, "name": "RTX 4090", "availability": "HIGH"} in center["gpuAvailability"]
    assert center["cpuAvailability"]


def test_the_catalog_lists_the_entry_that_clients_must_leave_out(local):
    assert "unknown" in {item["id"] for item in local.client.get("/v2/catalog/gpus").json()["gpus"]}


def test_unknown_catalog_ids_are_not_found(local):
    for kind in ("gpus", "cpus", "datacenters"):
        assert local.client.get(f"/v2/catalog/{kind}/none").status_code == 404


def test_a_users_own_catalog_is_laid_over_the_built_in_one(tmp_path):
    file = tmp_path / "local-cloud.toml"
    file.write_text(f'[gpus."{GPU}"]\nsecure_usd = 9.99\nstock = {{ EU-RO-1 = "NONE" }}\n[account]\nbalance_usd = 1\n')
    loaded = catalog.load(file)
    assert loaded.gpus[GPU].secure_usd == 9.99
    assert loaded.gpus[GPU].stock["EU-RO-1"] is Level.NONE
    assert loaded.gpus[GPU].stock["US-KS-2"] is Level.HIGH
    assert loaded.balance_usd == 1


@pytest.mark.parametrize("text", ["[", "[gpus.x]\ncolour = 1\n", '[gpus.x]\nname = "x"\n', "gpus = 1\n"])
def test_a_broken_user_catalog_is_named(tmp_path, text):
    file = tmp_path / "local-cloud.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"local-cloud\.toml"):
        catalog.load(file)


# -- network volumes -------------------------------------------------------------------------------------------------
def on(volume):
    return {"network": [{"volumeId": volume["id"], "path": "/workspace"}]}


def test_a_network_volume_outlives_its_pods_and_can_be_shared(local):
    volume = local.volume()
    one, two = local.running(mounts=on(volume)), local.running(mounts=on(volume))
    directory = local.settings.root / "network-volumes" / volume["id"]
    (directory / "data").write_text("data")
    for pod in (one, two):
        local.client.delete(f"/v2/pods/{pod['id']}")
    assert (directory / "data").read_text() == "data"
    assert local.client.delete(f"/v2/network-volumes/{volume['id']}").status_code == 204
    assert not directory.exists()
    assert local.client.get(f"/v2/network-volumes/{volume['id']}").status_code == 404


def test_a_volume_in_use_cannot_be_deleted_not_even_by_a_stopped_pod(local):
    volume = local.volume()
    pod = local.running(mounts=on(volume))
    local.act(pod["id"], "stop")
    refused = local.client.delete(f"/v2/network-volumes/{volume['id']}")
    assert refused.status_code == 400
    assert pod["id"] in refused.json()["detail"]


def test_a_volume_grows_but_does_not_shrink(local):
    path = f"/v2/network-volumes/{local.volume(size=20)['id']}"
    assert local.client.patch(path, json={"size": 30, "name": "bigger"}).json()["size"] == 30
    assert local.client.patch(path, json={"size": 20}).status_code == 400
    assert local.client.patch(path, json={}).status_code == 422
    assert local.client.patch(path, json={"size": 5000}).status_code == 422


def test_a_data_center_without_storage_names_those_that_have_it(local):
    body = {"name": "v", "size": 10, "dataCenter": "US-TX-3"}
    refused = local.client.post("/v2/network-volumes", json=body)
    assert refused.status_code == 400
    assert "EU-RO-1" in refused.json()["detail"]
    high = {**body, "dataCenter": "EU-RO-1", "type": "HIGH_PERFORMANCE"}
    assert local.client.post("/v2/network-volumes", json=high).status_code == 400


def test_a_pod_must_be_in_the_data_center_of_its_volume(local):
    volume = local.volume(dataCenter="EU-RO-1")
    elsewhere = local.client.post("/v2/pods", json=local.body(mounts=on(volume), dataCenterIds=["US-KS-2"]))
    assert elsewhere.status_code == 400
    assert "same data center" in elsewhere.json()["detail"]
    assert local.create(mounts=on(volume))["dataCenterId"] == "EU-RO-1"
    community = local.client.post("/v2/pods", json=local.body(mounts=on(volume), cloud="COMMUNITY"))
    assert community.status_code == 400


# -- templates -------------------------------------------------------------------------------------------------------
def test_the_accounts_templates_come_and_go(local):
    body = {"name": "mine", "image": "ubuntu", "cmd": ["sleep", "9"]}
    template = local.client.post("/v2/templates", json=body).json()
    assert (template["cmd"], template["startSsh"], template["category"]) == (["sleep", "9"], True, "NVIDIA")
    path = f"/v2/templates/{template['id']}"
    assert local.client.get(path).json() == template
    assert local.client.patch(path, json={"disk": 33}).json()["disk"] == 33
    assert [each["id"] for each in local.client.get("/v2/templates").json()["templates"]] == [template["id"]]
    assert local.client.delete(path).status_code == 204
    assert local.client.get(path).status_code == 404
    network = {**body, "mounts": {"network": []}}
    assert local.client.post("/v2/templates", json=network).status_code == 422


def test_the_public_catalog_can_be_read_but_not_changed(local):
    official = local.client.get("/v2/catalog/templates").json()["templates"]
    assert "runpod-torch-v280" in {each["id"] for each in official}
    for source in ("verified", "community"):
        assert local.client.get("/v2/catalog/templates", params={"source": source}).json()["templates"]
    assert local.client.get("/v2/templates/runpod-torch-v280").status_code == 200
    assert local.client.patch("/v2/templates/runpod-torch-v280", json={"disk": 1}).status_code == 404
    assert local.client.delete("/v2/templates/runpod-torch-v280").status_code == 404


def test_a_pod_takes_what_its_body_omits_from_the_template(local):
    made = local.client.post(
        "/v2/templates", json={"name": "t", "image": "runpod/base:1", "disk": 7, "env": {"A": "t", "B": "t"}}
    ).json()
    body = {"name": "dev", "templateId": made["id"], "gpu": {"id": GPU, "count": 1}, "env": {"A": "mine"}}
    pod = local.client.post("/v2/pods", json=body).json()
    assert (pod["image"], pod["disk"], pod["env"], pod["template"]) == (
        "runpod/base:1",
        7,
        {"A": "mine", "B": "t"},
        None,
    )
    edited = local.client.patch(f"/v2/pods/{pod['id']}", json={"templateId": "runpod-ubuntu", "disk": 11}).json()
    assert (edited["image"], edited["disk"]) == ("runpod/base:1.0.2-ubuntu2404", 11)


def test_a_template_brings_its_mount_and_cuda_to_gpu_pods_only(local):
    body = {"name": "dev", "templateId": "runpod-torch-v280"}
    on_gpu = local.client.post("/v2/pods", json={**body, "gpu": {"id": GPU, "count": 1}}).json()
    assert on_gpu["mounts"] == {"persistent": {"size": 20, "path": "/workspace"}}
    assert on_gpu["cudaVersion"] == "12.8"
    on_cpu = local.client.post("/v2/pods", json={**body, "cpu": {"id": "cpu3c", "vcpuCount": 2}}).json()
    assert on_cpu["mounts"] == {}


def test_unknown_and_serverless_templates_are_refused(local):
    assert local.client.post("/v2/pods", json=local.body(templateId="none")).status_code == 404
    made = local.client.post("/v2/templates", json={"name": "s", "image": "x", "serverless": True}).json()
    assert local.client.post("/v2/pods", json=local.body(templateId=made["id"])).status_code == 422


# -- faults ----------------------------------------------------------------------------------------------------------
def test_stock_can_be_overridden_for_one_data_center_or_all(local):
    local.faults(stock={GPU: {"EU-RO-1": "NONE"}, "cpu3c": "LOW"})
    levels = {center["id"]: center["availability"] for center in gpu(local, **STOCK)["dataCenters"]}
    assert (levels["EU-RO-1"], levels["US-KS-2"]) == ("NONE", "HIGH")
    assert local.client.get("/v2/catalog/cpus/cpu3c", params=STOCK).json()["availability"] == "LOW"
    local.faults(stock={GPU: "NONE"})
    assert local.client.post("/v2/pods", json=local.body()).status_code == 400


def test_a_price_increase_reaches_the_catalog_and_later_pods(local):
    before = local.create()
    local.faults(prices={GPU: {"secure": 5.0}})
    assert gpu(local)["price"]["secure"] == 5.0
    assert local.create()["cost"] == 5.0
    assert local.pod(before["id"])["cost"] == 0.69


def test_creates_can_be_refused_for_want_of_capacity_or_money(local):
    local.faults(create="no-capacity")
    assert local.client.post("/v2/pods", json=local.body()).status_code == 400
    local.faults(create="insufficient-balance")
    assert local.client.post("/v2/pods", json=local.body()).status_code == 402
    local.faults()
    assert local.client.post("/v2/pods", json=local.body()).status_code == 201


def test_the_next_calls_fail_and_then_all_is_well(local):
    local.faults(errors={"next": 2, "status": 502})
    assert [local.client.get("/v2/pods").status_code for _ in range(3)] == [502, 502, 200]


def test_a_response_can_be_lost_after_the_request_took_effect(local):
    local.faults(errors={"next": 1, "when": "after", "method": "POST"})
    assert local.client.get("/v2/pods").status_code == 200
    assert local.client.post("/v2/pods", json=local.body(name="orphan")).status_code == 503
    assert [pod["name"] for pod in local.client.get("/v2/pods").json()["pods"]] == ["orphan"]


def test_rate_limits_say_when_to_come_back(local):
    local.faults(rate_limit={"next": 1, "retry_after": 7})
    limited = local.client.get("/v2/pods")
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "7")
    assert local.client.get("/v2/pods").status_code == 200


def test_a_real_quota_runs_out_and_refills(tmp_path):
    from devpod_rp.localcloud.problems import Problem
    from devpod_rp.localcloud.ratelimits import RateLimits

    now = [1000.0]
    limits = RateLimits({"minute": 2, "hour": 100, "day": 100}, lambda: now[0])
    assert '"minute";r=1;t=60' in limits.count()["RateLimit"]
    limits.count()
    with pytest.raises(Problem) as refused:
        limits.count()
    assert refused.value.headers["Retry-After"] == "61"
    now[0] += 60
    limits.count()


def test_provisioning_can_be_slowed_down(local):
    local.faults(delays={"allocate": 30})
    pod = local.create()
    assert local.pod(pod["id"])["status"] == "PROVISIONING"
    assert local.act(pod["id"], "stop").json()["status"] == "EXITED"


@pytest.mark.parametrize(
    "document",
    [
        {"nonsense": 1},
        {"stock": {GPU: "PLENTY"}},
        {"stock": {GPU: {"EU-RO-1": 3}}},
        {"errors": {"status": 503}},
        {"errors": {"next": 1, "status": 200}},
        {"prices": {GPU: 1}},
        [],
    ],
)
def test_a_fault_that_does_not_exist_is_refused(local, document):
    assert local.client.put("/local/faults", json=document).status_code == 422


def test_faults_are_remembered_until_they_are_cleared(local):
    local.faults(stock={GPU: "LOW"}, start="not-enough-gpus")
    assert local.client.get("/local/faults").json() == {"stock": {GPU: "LOW"}, "start": "not-enough-gpus"}
    local.faults()
    assert local.client.get("/local/faults").json() == {}
