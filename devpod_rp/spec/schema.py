"""The JSON Schema of ``devpod-rp.toml``, made from the model, so that editors complete and check the file.

What depends on more than one value, on the template or on the cloud's catalog is beyond a schema; everything else it
takes and refuses as we do.
"""

from __future__ import annotations

import re
from typing import Any

from devpod_rp.spec import dollars, model, names, ports
from devpod_rp.spec.meanings import MEANINGS

Schema = dict[str, Any]

_DIALECT = "http://json-schema.org/draft-07/schema#"
_PORT_NUMBER = r"0{0,4}([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5])"


def document() -> Schema:
    """The schema, draft 7, which every TOML editor knows."""
    made = model.EnvironmentSpec.model_json_schema()
    keys = _as_written({**_named(), **made["properties"]})
    parts = {name: _table(name, part) for name, part in _parts(made).items()}
    for name, part in parts.items():
        keys[name] = {**part, "description": MEANINGS[name]} if name in MEANINGS else part
    return {
        "$schema": _DIALECT,
        "title": "devpod-rp.toml",
        "description": "What a project's pod looks like; devpod-rp up reads it.",
        "type": "object",
        "additionalProperties": False,
        "properties": keys,
    }


def _named() -> Schema:
    """The keys that say which environment is meant."""
    return {
        "name": {"type": "string", "pattern": _whole(names.FORM)},
        "cloud": {"type": "string", "enum": ["runpod", "local"]},
    }


def _parts(made: Schema) -> dict[str, Schema]:
    referred = {name: each["$ref"].split("/")[-1] for name, each in made["properties"].items() if "$ref" in each}
    return {name: made["$defs"][part] for name, part in referred.items()}


def _table(name: str, part: Schema) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": _as_written(part["properties"], f"{name}.")}


def _as_written(properties: Schema, above: str = "") -> Schema:
    """Each key as it may stand in a file: no null, a list of one as its only value, the forms that code checks."""
    return {name: _key(above + name, each) for name, each in properties.items() if "$ref" not in each}


def _key(dotted: str, made: Schema) -> Schema:
    found = {key: value for key, value in made.items() if key not in ("title", "default")}
    options = [each for each in found.pop("anyOf", []) if each.get("type") != "null"]
    if len(options) == 1:
        found.update(options[0])
    elif options:
        found["anyOf"] = options
    found.update(_forms().get(dotted, {}))
    if found.get("type") == "array":
        only = found["items"]["anyOf"][0] if "anyOf" in found["items"] else found["items"]
        found = {"anyOf": [found, only]} if only.get("type") == "string" else found
    if made.get("default") not in (None, [], {}):
        found["default"] = made["default"]
    if dotted in MEANINGS:
        found["description"] = MEANINGS[dotted]
    return found


def _forms() -> dict[str, Schema]:
    """What validators of the model check in code, by dotted key."""
    duration = {"pattern": f"^\\s*(([nN][eE][vV][eE][rR])|{_length()})\\s*$"}
    path = {"pattern": r"^/+[^/]", "not": {"pattern": r"(^|/)\.\.(/|$)"}}
    memory = _loose(r"any(\s*>=?\s*\d+\s*(g|gb|gib)?)?")
    guarded: Schema = {"type": "string", "pattern": r"^(/|~/|\*\*/)", "not": {"pattern": r"//|(^|/)\.{1,2}(/|$)|/$"}}
    no_place = r"//|(^|/)\.{1,2}(/|$)|[*?\[]|^/(workspace|proc|sys|dev|run|tmp)(/|$)"
    kept: Schema = {"type": "string", "pattern": r"^~?/[^/]", "not": {"pattern": no_place}}
    wish = {"type": "string", "pattern": rf"^\s*({memory}\s*$|(?!{_loose('any')}\b))"}
    forward = _ecma(ports.FORM).replace(r"\d{1,5}", _PORT_NUMBER)
    return {
        "gpu": {"items": wish},
        "vcpu": {"enum": [2**power for power in range(1, 21)]},
        "ports": {"items": {"type": "string", "pattern": f"^{_PORT_NUMBER}/(tcp|http)$"}},
        "forward_ports": {
            "items": {
                "anyOf": [
                    {"type": "string", "pattern": rf"^\s*({forward})\s*$"},
                    {"type": "integer", "minimum": 1, "maximum": 65535},
                ]
            }
        },
        "extensions": {"items": {"type": "string", "pattern": _whole(model.EXTENSION)}},
        "git_credentials": {"items": {"type": "string", "pattern": _whole(model.HOST)}},
        "env": {"propertyNames": {"pattern": _whole(model.VARIABLE)}},
        "session_env": {"propertyNames": {"pattern": _whole(model.VARIABLE)}},
        "workspace": path,
        "workspace_alias": path,
        "volume.path": path,
        "guard.precious": {"items": guarded},
        "persist.paths": {"items": kept},
        "persist.archive": {"items": kept},
        "guard.ignore": {"items": {**guarded, "not": {"pattern": f"({guarded['not']['pattern']})|^[/*~]*$"}}},
        "idle_stop": duration,
        "max_runtime": duration,
        "lid_stop": duration,
        "notify_after": duration,
        "max_cost": {
            "type": ["number", "string"],
            "pattern": rf"^\s*({_loose('never')}|(?=.*[1-9]){_ecma(dollars.FORM, loose=True)})\s*$",
        },
    }


def _length() -> str:
    """One or more parts of a duration, not all of them zero."""
    part = r"\s*\d[\d\s]*(\.\s*\d[\d\s]*)?[smhdSMHD]"
    return rf"(?=[^1-9]*[1-9])({part})+"


def _whole(form: re.Pattern[str]) -> str:
    return f"^({_ecma(form)})$"


def _ecma(form: re.Pattern[str], *, loose: bool = False) -> str:
    """The pattern of *form* as JavaScript reads it, which has no named groups of Python's kind and no flags."""
    plain = re.sub(r"\?P<\w+>", "", form.pattern)
    return _loose(plain) if loose else plain


def _loose(pattern: str) -> str:
    r"""*pattern* with every letter in both cases, but for those of classes such as ``\d``."""
    return re.sub(r"(?<!\\)[a-z]", lambda letter: f"[{letter[0]}{letter[0].upper()}]", pattern)
