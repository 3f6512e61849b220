"""Our request schemas accept and refuse exactly what RunPod's OpenAPI file does."""

from __future__ import annotations

import pytest

from devpod_rp.localcloud import schemas
from devpod_rp.localcloud.validation import violations
from tests.localcloud.conformance import openapi, validator

NAMES = {
    "CreatePodRequest": schemas.CREATE_POD,
    "UpdatePodRequest": schemas.UPDATE_POD,
    "PodActionRequest": schemas.POD_ACTION,
    "CreateNetworkVolumeRequest": schemas.CREATE_NETWORK_VOLUME,
    "UpdateNetworkVolumeRequest": schemas.UPDATE_NETWORK_VOLUME,
    "UpdateSshKeysRequest": schemas.UPDATE_SSH_KEYS,
    "CreateTemplateRequest": schemas.CREATE_TEMPLATE,
    "UpdateTemplateRequest": schemas.UPDATE_TEMPLATE,
}
ODD_VALUES = [None, True, 0, 1, 9, 10, 10.0, 10.5, 4096, 5000, "", "x", "12.8", "SECURE", "STANDARD", "CPU", "start"]
ODD_VALUES += [[], ["x"], ["12.8"], [1], ["ssh-ed25519 AAAA me"], ["ssh-ed25519"], {}, {"x": "y"}, {"x": 1}]
ODD_VALUES += [{"id": "g"}, {"id": "g", "count": 1}, {"id": "c", "vcpuCount": 2}, {"id": "", "vcpuCount": 1}]
ODD_VALUES += [{"id": "g", "minCudaVersion": "12"}, {"id": "g", "allowedCudaVersions": ["12.8"], "minRamPerGpu": 1}]
ODD_VALUES += [{"persistent": {"size": 10, "path": "/w"}}, {"persistent": {"size": 9, "path": "/w"}}]
ODD_VALUES += [{"network": []}, {"network": [{"volumeId": "v", "path": "/w"}]}, {"network": [{"volumeId": "v"}]}]
ODD_VALUES += [{"network": [{"volumeId": "v", "path": "/w"}] * 2}, {"persistent": {"size": 10, "path": "/", "x": 1}}]


@pytest.mark.skipif(openapi() is None, reason="RunPod's OpenAPI file is not here")
@pytest.mark.parametrize("name", NAMES)
def test_our_schema_judges_every_value_of_every_field_as_runpods_does(name):
    ours, theirs = NAMES[name], validator(f"/components/schemas/{name}")
    valid = {
        "name": "n",
        "image": "i",
        "action": "stop",
        "dataCenter": "d",
        "size": 10,
        "keys": [],
    }
    base = {key: value for key, value in valid.items() if key in ours["required"]}
    if name == "CreatePodRequest":
        base["image"] = "i"
    if name == "UpdateNetworkVolumeRequest":
        base["name"] = "n"
    assert theirs.is_valid(base)
    fields = {*ours["properties"], "unknown"}
    bodies = [{**base, field: value} for field in fields for value in ODD_VALUES]
    bodies += [{key: value for key, value in base.items() if key != missing} for missing in base]
    for body in [*bodies, [], None, "x"]:
        assert (violations(body, ours) == []) == theirs.is_valid(body), body


@pytest.mark.skipif(openapi() is None, reason="RunPod's OpenAPI file is not here")
@pytest.mark.parametrize("name", NAMES)
def test_our_schema_knows_the_same_fields(name):
    def fields(schema):
        if "$ref" in schema:
            schema = openapi()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        found = set(schema.get("properties", {}))
        return found.union(*(fields(part) for part in schema.get("allOf", [])))

    assert set(NAMES[name]["properties"]) == fields({"$ref": f"#/components/schemas/{name}"})
