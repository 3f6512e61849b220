"""Requests that nobody thought of, made from RunPod's OpenAPI file: every answer is one that the file documents."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st

from devpod_rp.localcloud.api.app import ROUTES
from tests.localcloud.conformance import UNDOCUMENTED, openapi
from tests.localcloud.conftest import LocalCloud

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis needs Python 3.11")

from schemathesis import GenerationMode, checks  # noqa: E402
from schemathesis.specs.openapi import checks as of_openapi  # noqa: E402

pytestmark = pytest.mark.slow

_EXAMPLES = 200
# A stream that stays open is held against the specification in test_logs.py.
_STREAMS = {"/v2/pods/{id}/logs"}


def _operations() -> list[Any]:
    document = openapi()
    if document is None:
        return []
    # Without a key every request is refused (test_refusals.py); here the key is right and not to be mutated.
    document.pop("security", None)
    for methods in document["paths"].values():
        for described in methods.values():
            if isinstance(described, dict):
                described.pop("security", None)
    found = schemathesis.openapi.from_dict(document).get_all_operations()
    return [
        operation
        for operation in (each.ok() for each in found)
        if operation.method.upper() in ROUTES.get(operation.path, {}) and operation.path not in _STREAMS
    ]


def _checks() -> list[Any]:
    return [
        checks.not_a_server_error,
        of_openapi.status_code_conformance,
        of_openapi.content_type_conformance,
        of_openapi.response_schema_conformance,
        of_openapi.negative_data_rejection,
    ]


@pytest.mark.skipif(openapi() is None, reason="RunPod's OpenAPI file does not lie beside the project")
@pytest.mark.parametrize("operation", _operations(), ids=lambda each: f"{each.method.upper()} {each.path}")
def test_every_answer_is_documented(local: LocalCloud, operation: Any) -> None:
    ids = _ids(local, operation.path)

    @hypothesis.settings(
        max_examples=_EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(data=st.data())
    def fuzz(data: st.DataObject) -> None:
        mode = data.draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
        case = data.draw(operation.as_strategy(generation_mode=mode))
        if ids and mode is GenerationMode.POSITIVE and "id" in case.path_parameters:
            case.path_parameters["id"] = data.draw(st.sampled_from(ids))
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {local.token}"}
        response = case.call(base_url=local.url)
        if response.text in UNDOCUMENTED:
            return
        case.validate_response(response, checks=_checks())

    fuzz()


def _ids(local: LocalCloud, path: str) -> list[str]:
    """Things that exist, so that not every request ends in 404."""
    if path.startswith("/v2/pods/{id}"):
        return [local.create()["id"], local.running()["id"]]
    if path.startswith("/v2/network-volumes/{id}"):
        return [local.volume()["id"], local.volume(name="other")["id"]]
    if path.startswith("/v2/catalog/gpus/{id}"):
        return ["NVIDIA GeForce RTX 4090"]
    if path.startswith("/v2/catalog/datacenters/{id}"):
        return ["EU-RO-1"]
    return []
