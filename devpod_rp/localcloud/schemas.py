"""The request bodies of REST v2 as JSON Schema, flattened from RunPod's OpenAPI file.

Written here, and not taken from the launcher's wire models, so that the two ends of the API can disagree in a test.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_STRING: Schema = {"type": "string"}
_NAME: Schema = {"type": "string", "minLength": 1}
_STRINGS: Schema = {"type": "array", "items": _STRING}
_BOOLEAN: Schema = {"type": "boolean"}
_CUDA: Schema = {"type": "string", "pattern": r"^\d+\.\d+$"}
_CUDAS: Schema = {"type": "array", "items": _CUDA}


def _object(required: list[str] | None = None, /, **properties: Schema) -> Schema:
    return {
        "type": "object",
        "required": required or [],
        "properties": properties,
        "additionalProperties": False,
    }


_CONTAINER: dict[str, Schema] = {
    "args": _STRING,
    "cmd": _STRINGS,
    "entrypoint": _STRINGS,
    "disk": {"type": "integer", "minimum": 1},
    "env": {"type": "object", "additionalProperties": _STRING},
    "image": _STRING,
    "ports": _STRINGS,
    "registry": {"type": ["string", "null"]},
}

_PERSISTENT = _object(["size", "path"], size={"type": "integer", "minimum": 10}, path=_STRING)
_NETWORK = _object(["volumeId", "path"], volumeId=_STRING, path=_STRING)
_MOUNTS = _object(persistent=_PERSISTENT, network={"type": "array", "maxItems": 1, "items": _NETWORK})

_GPU = _object(
    ["id"],
    id=_STRING,
    count={"type": "integer", "minimum": 1},
    allowedCudaVersions=_CUDAS,
    minCudaVersion=_CUDA,
    minRamPerGpu={"type": "integer", "minimum": 1},
    minVcpuCountPerGpu={"type": "integer", "minimum": 1},
)
_CPU = _object(["id", "vcpuCount"], id=_NAME, vcpuCount={"type": "integer", "minimum": 2})

CREATE_POD: Schema = {
    **_object(
        ["name"],
        **_CONTAINER,
        name=_NAME,
        cloud={"type": "string", "enum": ["SECURE", "COMMUNITY"]},
        cpu=_CPU,
        gpu=_GPU,
        dataCenterIds=_STRINGS,
        globalNetworking=_BOOLEAN,
        mounts=_MOUNTS,
        startJupyter=_BOOLEAN,
        startSsh=_BOOLEAN,
        templateId=_NAME,
    ),
    "requiredUnless": {"templateId": ["image"]},
}
UPDATE_POD = _object(
    **_CONTAINER, globalNetworking=_BOOLEAN, locked=_BOOLEAN, mounts=_MOUNTS, name=_NAME, templateId=_STRING
)
POD_ACTION = _object(["action"], action={"type": "string", "enum": ["start", "stop", "restart", "terminate"]})

_VOLUME_SIZE: Schema = {"type": "integer", "minimum": 10, "maximum": 4096}
CREATE_NETWORK_VOLUME = _object(
    ["dataCenter", "name", "size"],
    dataCenter=_NAME,
    name=_NAME,
    size=_VOLUME_SIZE,
    type={"type": "string", "enum": ["STANDARD", "HIGH_PERFORMANCE"]},
)
UPDATE_NETWORK_VOLUME: Schema = {**_object(name=_NAME, size=_VOLUME_SIZE), "minProperties": 1}

UPDATE_SSH_KEYS = _object(
    ["keys"],
    keys={
        "type": "array",
        "items": {"type": "string", "pattern": r"^(ssh|ecdsa|sk)-[^\s]+ [^\s]+([ \t][^\n\r]*)?$"},
    },
)

_TEMPLATE: dict[str, Schema] = {
    **_CONTAINER,
    "name": _NAME,
    "allowedCudaVersions": _CUDAS,
    "category": {"type": "string", "enum": ["CPU", "NVIDIA", "AMD"]},
    "mounts": _object(persistent=_PERSISTENT),
    "public": _BOOLEAN,
    "serverless": _BOOLEAN,
    "startJupyter": _BOOLEAN,
    "startSsh": _BOOLEAN,
}
CREATE_TEMPLATE = _object(["image", "name"], **_TEMPLATE)
UPDATE_TEMPLATE = _object(**_TEMPLATE)
