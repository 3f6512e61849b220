"""Checking a request body against a schema, with the wording of RunPod's validator.

RunPod's ``errors`` read like those of a Go JSON Schema validator: ``$: missing property 'dataCenter'``,
``$: additional properties 'dataCenterId' not allowed``, ``value must be one of '…'``. This module knows just the
keywords the request schemas use, so that the product does not need a JSON Schema library, and one of its own:
``requiredUnless`` maps a property to those that are required where it is absent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from devpod_rp.localcloud.problems import invalid

Schema = Mapping[str, Any]

_TYPE_NAMES: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}


def check(body: object, schema: Schema) -> dict[str, Any]:
    """*body* itself if it is an object that matches *schema*.

    Raises:
        Problem: 422 that lists every violation.
    """
    errors = violations(body, schema)
    if errors:
        raise invalid(errors)
    assert isinstance(body, dict)
    return body


def violations(value: object, schema: Schema, where: str = "$") -> list[str]:
    """Every way in which *value* breaks *schema*, each prefixed with its place; empty if it matches."""
    wanted = schema.get("type")
    if wanted is not None and not _is_any(value, wanted):
        names = wanted if isinstance(wanted, list) else [wanted]
        return [f"{where}: got {_type_name(value)}, want {' or '.join(names)}"]
    found: list[str] = []
    if "enum" in schema and value not in schema["enum"]:
        options = ", ".join(f"'{option}'" for option in schema["enum"])
        found.append(f"{where}: value must be one of {options}")
    if isinstance(value, str):
        found += _string_violations(value, schema, where)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        found += _number_violations(value, schema, where)
    elif isinstance(value, list):
        if len(value) > schema.get("maxItems", len(value)):
            found.append(f"{where}: maxItems: got {len(value)}, want {schema['maxItems']}")
        for index, item in enumerate(value):
            found += violations(item, schema.get("items", {}), f"{where}[{index}]")
    elif isinstance(value, dict):
        found += _object_violations(value, schema, where)
    return found


def _string_violations(value: str, schema: Schema, where: str) -> list[str]:
    found = []
    if len(value) < schema.get("minLength", 0):
        found.append(f"{where}: minLength: got {len(value)}, want {schema['minLength']}")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{where}: '{value}' does not match pattern '{schema['pattern']}'")
    return found


def _number_violations(value: float, schema: Schema, where: str) -> list[str]:
    found = []
    if "minimum" in schema and value < schema["minimum"]:
        found.append(f"{where}: minimum: got {value}, want {schema['minimum']}")
    if "maximum" in schema and value > schema["maximum"]:
        found.append(f"{where}: maximum: got {value}, want {schema['maximum']}")
    return found


def _object_violations(value: Mapping[str, object], schema: Schema, where: str) -> list[str]:
    found = []
    properties = schema.get("properties", {})
    required = [*schema.get("required", ())]
    for condition, names in schema.get("requiredUnless", {}).items():
        required += names if condition not in value else []
    missing = [name for name in required if name not in value]
    if missing:
        noun = "property" if len(missing) == 1 else "properties"
        found.append(f"{where}: missing {noun} {_quoted(missing)}")
    if len(value) < schema.get("minProperties", 0):
        found.append(f"{where}: minProperties: got {len(value)}, want {schema['minProperties']}")
    others = schema.get("additionalProperties", True)
    unknown = [name for name in value if name not in properties]
    if others is False and unknown:
        found.append(f"{where}: additional properties {_quoted(unknown)} not allowed")
    for name, item in value.items():
        if name in properties:
            found += violations(item, properties[name], f"{where}.{name}")
        elif isinstance(others, Mapping):
            found += violations(item, others, f"{where}.{name}")
    return found


def _is_any(value: object, wanted: str | list[str]) -> bool:
    return any(_is(value, name) for name in ([wanted] if isinstance(wanted, str) else wanted))


def _is(value: object, wanted: str) -> bool:
    if wanted == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if wanted == "integer":
        # JSON Schema: 10.0 is an integer.
        return (isinstance(value, int) and not isinstance(value, bool)) or (
            isinstance(value, float) and value.is_integer()
        )
    return _type_name(value) == wanted


def _type_name(value: object) -> str:
    return _TYPE_NAMES.get(type(value), type(value).__name__)


def _quoted(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
