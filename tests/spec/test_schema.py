"""The published schema and our reader take and refuse the same documents."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomlkit

from devpod_rp.errors import ConfigurationError
from devpod_rp.spec import schema, sources
from devpod_rp.spec.model import field_names

PUBLISHED = Path(__file__).parents[2] / "docs" / "devpod-rp.schema.json"
SCHEMA = schema.document()
TABLES = {name: inner for name, inner in field_names().items() if inner}
KEYS = [
    ("name",),
    ("cloud",),
    *((name,) for name, inner in field_names().items() if not inner),
    *((name, key) for name, inner in TABLES.items() for key in inner),
]
VALUES: list[Any] = [
    *(True, False, 0, 1, 2, 3, 8, 10, 12, 4096, 4097, -1, 0.5, 2.0, 1.25),
    *("x", "two words", "RTX 4090", "any", "ANY >= 24 GB", "any>=", "anything", "5", "12.8", "12", "true", "secure"),
    *("disk", "network", "floppy", "on-demand", "two-way-safe", "local", "mars", "my-env", "My Env", "-x", "pytorch"),
    *("never", "90m", "1h30m", "1.5h", "2 h", "0m", "soon", "$5", "2.50 USD", "$0", "five"),
    *("22/tcp", "8888/http", "8888", "0/tcp", "65536/tcp", "8888/udp", "6006", "a=6006:16006", "tb=x", "70000"),
    *("ms-python.python", "nodot", "/opt/x.vsix", "/workspace/a", "/", "relative", "/workspace/../x", "*.ckpt"),
    *("~/data/**", "**/*.ckpt", "/scratch/", "/**", "~/**", "**/a/./b", "/a//b"),
    *([1], ["a", 1], ["22/tcp"], ["6006", 7007], [6006], [70000], [True], ["ms-python.python"], [["a"]]),
    *({"a": 1}, {"A": "1"}, {"1B": "x"}, {"a": {"b": "c"}}),
]


def documents() -> list[dict[str, Any]]:
    single = [{keys[0]: value} for keys in KEYS if len(keys) == 1 for value in VALUES]
    nested = [{keys[0]: {keys[1]: value}} for keys in KEYS if len(keys) == 2 for value in VALUES]
    return [*single, *nested, *({name: value} for name in TABLES for value in VALUES)]


def test_the_published_file_is_what_the_model_says() -> None:
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert published == SCHEMA, "run: devpod-rp config schema > docs/devpod-rp.schema.json"


def test_it_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_it_refuses_unknown_keys_everywhere() -> None:
    validator = jsonschema.Draft7Validator(SCHEMA)
    assert not validator.is_valid({"gpuu": ["L4"]})
    for table in TABLES:
        assert not validator.is_valid({table: {"nonsense": 1}}), table


@pytest.mark.slow
def test_it_agrees_with_the_reader_on_every_value_of_every_key(
    project: Callable[[str], Path], loaded: Callable[..., Any]
) -> None:
    validator = jsonschema.Draft7Validator(SCHEMA)
    disagreements = []
    taken = 0
    for document in documents():
        path = project(tomlkit.dumps(document))
        try:
            loaded()
            refusal = None
        except sources.Misfit:
            continue
        except ConfigurationError as error:
            refusal = error.message.removeprefix(str(path))
        if any(absent in (refusal or "") for absent in ("no template", "there is no /")):
            continue
        taken += refusal is None
        if validator.is_valid(document) != (refusal is None):
            disagreements.append((document, refusal or "taken"))
    assert not disagreements
    assert taken > 100


def test_lists_that_may_be_one_value_are_those_of_the_reader() -> None:
    assert {keys for keys in KEYS if "array" in str(_of(keys).get("anyOf"))} == sources._LISTS


def test_every_key_says_what_it_means() -> None:
    assert [keys for keys in KEYS if not _of(keys).get("description")] == []


def _of(keys: tuple[str, ...]) -> Any:
    found = SCHEMA["properties"][keys[0]]
    return found if len(keys) == 1 else found["properties"][keys[1]]
