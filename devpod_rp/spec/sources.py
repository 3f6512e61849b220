"""Where the values come from: layers merged lowest first, each value remembering its origin.

built-in defaults < template < the user's ``config.toml`` < ``devcontainer.json`` < ``devpod-rp.toml`` or
``[tool.devpod-rp]`` < ``DEVPOD_RP_*`` variables < the flags of an earlier ``up`` < flags
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devpod_rp import paths
from devpod_rp.errors import ConfigurationError
from devpod_rp.spec import devcontainer, templates
from devpod_rp.spec.devcontainer_layer import honoured
from devpod_rp.spec.model import EnvironmentSpec, field_names
from devpod_rp.spec.names import slug, validate_name
from devpod_rp.spec.toml_file import line_of, read_toml
from devpod_rp.spec.toml_types import mistyped

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Keys = tuple[str, ...]

_LISTS = {
    ("gpu",),
    ("data_centers",),
    ("ports",),
    ("start_command",),
    ("sync", "ignore"),
    ("forward_ports",),
    ("extensions",),
    ("git_credentials",),
    ("guard", "precious"),
    ("guard", "ignore"),
    ("persist", "paths"),
    ("persist", "archive"),
    ("hooks", "on_create"),
    ("hooks", "update_content"),
    ("hooks", "post_create"),
    ("hooks", "post_start"),
    ("hooks", "post_attach"),
}
# A pod has GPUs or a CPU flavor: who asks for one no longer wants the other of a lower layer.
_EITHER_OR: tuple[tuple[Keys, tuple[Keys, ...]], ...] = (
    (("cpu",), (("gpu",), ("gpu_count",), ("min_cuda",), ("spot", "enabled"), ("spot", "bid"))),
    (("gpu",), (("cpu",), ("vcpu",))),
)
# Tables whose keys are not ours to know; a setting of VS Code may be a table itself.
_FREE = ("env", "session_env", "settings")
_SETTINGS: Keys = ("settings",)
_CLOUDS = ("runpod", "local")
# Where a flag is not called like its key.
_FLAGS: dict[Keys, str] = {
    ("volume", "kind"): "--volume (or --volume-kind)",
    ("volume", "size_gb"): "--volume (or --volume-size)",
    ("volume", "name"): "--volume",
    ("spot", "enabled"): "--spot",
    ("data_centers",): "--data-center",
    ("container_disk_gb",): "--disk",
}


class Misfit(ConfigurationError):
    """Values that are fine alone and not together."""


@dataclass(frozen=True)
class Loaded:
    """The checked spec, the environment's name, the cloud a file chose, and for each dotted key its origin."""

    spec: EnvironmentSpec
    name: str
    cloud: str | None
    provenance: dict[str, str]
    kinds: dict[str, str]
    """For each dotted key what kind of source gave its value, such as "template" or "user defaults"."""
    chosen: frozenset[str]
    """The dotted keys that somebody set, rather than a template or a default."""
    flags: dict[str, Any] = field(repr=False)
    """The flags by dotted key, those of an earlier ``up`` included: what to remember for the next one."""
    warning: str | None = None
    """What the devcontainer.json asks for and a pod cannot give, in one sentence."""


@dataclass(frozen=True)
class _Layer:
    """One source: what kind it is, its values by key path, and how to tell a person where a value stands."""

    kind: str
    values: dict[Keys, Any]
    locate: Callable[[Keys], str]


def load(
    folder: Path,
    flags: Mapping[str, Any],
    *,
    earlier: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Loaded:
    """Merge every source for the project in *folder*; *flags* by dotted key, None where not given.

    *earlier* are the flags that the environment was brought up with before.

    Raises:
        ConfigurationError: a value cannot be used; the message names its file and line, variable or flag.
    """
    defaults = list(_file_layer("user defaults", paths.user_config_file()))
    above = [
        *_project_layers(folder),
        _variables_layer(environ),
        _flags_layer("earlier flag", earlier or {}, " of an earlier up"),
        _flags_layer("flag", flags),
    ]
    warning, container = _devcontainer_layer(folder, [*defaults, *above], above, environ)
    upper = [*defaults, *container, *above]
    wanted = _last(upper, ("template",))
    try:
        template = templates.load_template(str(wanted[0]) if wanted else templates.DEFAULT)
    except ConfigurationError as error:
        where = f"{wanted[1]}: " if wanted else ""
        raise ConfigurationError(f"{where}{error.message}", hint=error.hint) from error
    layers = [_layer_of_file(f"template {template.name}", template.path, template.values), *upper]
    for layer in layers:
        _refuse_unknown_keys(layer)
    merged, origins, kinds = _merge(layers)
    cloud, named = merged.pop(("cloud",), None), merged.pop(("name",), None)
    if cloud not in (None, *_CLOUDS):
        raise ConfigurationError(f"{origins[('cloud',)]}: {cloud!r} is no cloud.", hint="use runpod or local.")
    name = validate_name(str(named), origins[("name",)]) if named is not None else slug(folder.resolve().name)
    merged[("template",)] = template.name
    provenance = {".".join(keys): where for keys, where in origins.items()}
    sources = {".".join(keys): kind for keys, kind in kinds.items()}
    chosen = frozenset(".".join(keys) for layer in upper for keys in layer.values)
    given = {key: value for key, value in flags.items() if value not in (None, (), [], {})}
    remembered = {**(earlier or {}), **given}
    for asked, rivals in _EITHER_OR:
        if ".".join(asked) in given:
            remembered = {key: value for key, value in remembered.items() if tuple(key.split(".")) not in rivals}
    return Loaded(_validated(merged, origins), name, cloud, provenance, sources, chosen, remembered, warning)


def _merge(layers: list[_Layer]) -> tuple[dict[Keys, Any], dict[Keys, str], dict[Keys, str]]:
    """The values, where each stands, and the kind of source that gave it."""
    merged: dict[Keys, Any] = {}
    origins: dict[Keys, str] = {}
    kinds: dict[Keys, str] = {}
    explicit_volume = False
    for depth, layer in enumerate(layers):
        for asked, rivals in _EITHER_OR:
            if asked in layer.values:
                for rival in rivals:
                    merged.pop(rival, None)
        explicit_volume = explicit_volume or (depth > 0 and ("volume", "kind") in layer.values)
        for keys, value in layer.values.items():
            merged[keys] = value
            origins[keys] = layer.locate(keys)
            kinds[keys] = layer.kind
    if merged.get(("cpu",)) and not explicit_volume and merged.get(("volume", "kind"), "disk") == "disk":
        merged[("volume", "kind")] = "network"
        origins[("volume", "kind")] = "CPU pods have no volume disk"
        kinds[("volume", "kind")] = "default of CPU pods"
    return merged, {keys: origins[keys] for keys in merged}, {keys: kinds[keys] for keys in merged}


def _validated(merged: dict[Keys, Any], origins: dict[Keys, str]) -> EnvironmentSpec:
    from pydantic import ValidationError

    nested: dict[str, Any] = {}
    for keys, value in merged.items():
        place = nested
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1]] = [value] if keys in _LISTS and isinstance(value, str) else value
    try:
        return EnvironmentSpec.model_validate(nested)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise _in_plain_words(problem, origins) from None


def _in_plain_words(problem: ErrorDetails, origins: dict[Keys, str]) -> ConfigurationError:
    keys = tuple(str(part) for part in problem["loc"] if not isinstance(part, int))
    misfit = problem["type"] == "misfit"
    what = re.sub(r"^(Input|String|List|Tuple|Value error,)\s+", "", problem["msg"])
    if problem["type"] == "missing":
        what = "is missing"
    sentence = " ".join(filter(None, (".".join(keys), what)))
    if misfit:
        keys = tuple(str(problem["ctx"]["key"]).split("."))
    where = next((origins[keys[:end]] for end in range(len(keys), 0, -1) if keys[:end] in origins), None)
    refusal = Misfit if misfit else ConfigurationError
    return refusal(f"{where}: {sentence}." if where else f"{sentence}.", hint="change that value.")


def _file_layer(kind: str, path: Path) -> Iterator[_Layer]:
    if path.exists():
        yield _layer_of_file(kind, path, read_toml(path))


def _project_layers(folder: Path) -> Iterator[_Layer]:
    own = folder / paths.project_config_name()
    pyproject = folder / "pyproject.toml"
    tools = read_toml(pyproject).get("tool") if pyproject.is_file() else None
    table = tools.get("devpod-rp") if isinstance(tools, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigurationError(f"{pyproject}: tool.devpod-rp is no table.", hint="write [tool.devpod-rp].")
    if own.exists() and table is not None:
        raise ConfigurationError(
            f"{folder} has both {own.name} and [tool.devpod-rp] in pyproject.toml.", hint="keep one of them."
        )
    if table is not None:
        yield _layer_of_file("[tool.devpod-rp] in pyproject.toml", pyproject, table, ("tool", "devpod-rp"))
    yield from _file_layer(own.name, own)


def _devcontainer_layer(
    folder: Path, upper: list[_Layer], above: list[_Layer], environ: Mapping[str, str]
) -> tuple[str | None, list[_Layer]]:
    """The project's devcontainer.json as a layer, unless *upper* wants none, and what to warn of.

    *above* are the layers that come before it.
    """
    chosen = _last(upper, ("devcontainer",))
    if chosen is None:
        path = devcontainer.find(folder)
    else:
        path = folder / str(chosen[0]) if chosen[0] != devcontainer.NONE else None
        if path is not None and not path.is_file():
            raise ConfigurationError(f"{chosen[1]}: there is no {path}.", hint='name a file, or "none".')
    if path is None:
        return None, []
    volume, workspace = _last(upper, ("volume", "path")), _last(upper, ("workspace",))
    default = f"{str(volume[0]).rstrip('/') if volume else '/workspace'}/{folder.name}"
    said = devcontainer.read(path, folder, workspace=str(workspace[0]) if workspace else default, environ=environ)
    # Its recipe starts the image's own /start.sh where there is one.
    recipe = templates.load_builtin("ubuntu").values["start_command"]
    fitting = honoured(said, recipe, image_elsewhere=_last(above, ("image",)) is not None)
    layer = _Layer("devcontainer.json", fitting.values, lambda keys: fitting.places[keys])
    if not fitting.left_out:
        return None, [layer]
    return f"A pod cannot honour this of {path}: {', '.join(fitting.left_out)}.", [layer]


def _layer_of_file(kind: str, path: Path, values: Mapping[str, Any], table: Keys = ()) -> _Layer:
    def locate(keys: Keys) -> str:
        line = line_of(path, keys, table)
        return f"{path}:{line}" if line else str(path)

    layer = _Layer(kind, _flat(values), locate)
    for keys, value in layer.values.items():
        complaint = mistyped(keys, value)
        if complaint:
            raise ConfigurationError(f"{locate(keys)}: {'.'.join(keys)} {complaint}.", hint="change that value.")
    return layer


def _variables_layer(environ: Mapping[str, str]) -> _Layer:
    by_variable = {"DEVPOD_RP_" + "_".join(keys).upper(): keys for keys in _all_keys() if keys[0] not in _FREE}
    values: dict[Keys, Any] = {}
    for variable, keys in by_variable.items():
        text = environ.get(variable)
        if text:
            values[keys] = [part.strip() for part in text.split(",") if part.strip()] if keys in _LISTS else text
    names = {keys: variable for variable, keys in by_variable.items()}
    return _Layer("environment variable", values, lambda keys: names[keys])


def _flags_layer(kind: str, flags: Mapping[str, Any], whose: str = "") -> _Layer:
    given = {tuple(key.split(".")): value for key, value in flags.items() if value not in (None, (), [])}

    def locate(keys: Keys) -> str:
        flag = "--env" if keys[0] == "env" else _FLAGS.get(keys) or "--" + keys[-1].replace("_", "-")
        return flag + whose

    return _Layer(kind, _flat_env(given), locate)


def _flat_env(values: Mapping[Keys, Any]) -> dict[Keys, Any]:
    flat: dict[Keys, Any] = {}
    for keys, value in values.items():
        if isinstance(value, Mapping):
            flat.update({(*keys, name): inner for name, inner in value.items()})
        else:
            flat[keys] = value
    return flat


def _flat(values: Mapping[str, Any], above: Keys = ()) -> dict[Keys, Any]:
    flat: dict[Keys, Any] = {}
    for key, value in values.items():
        keys = (*above, key)
        # An empty table says nothing, unless nobody knows it.
        if isinstance(value, dict) and (value or keys in _tables()) and above != _SETTINGS:
            flat.update(_flat(value, keys))
        else:
            flat[keys] = value
    return flat


def _last(layers: list[_Layer], keys: Keys) -> tuple[Any, str] | None:
    found = [layer for layer in layers if keys in layer.values]
    return (found[-1].values[keys], found[-1].locate(keys)) if found else None


def _all_keys() -> list[Keys]:
    keys: list[Keys] = [("name",)]
    for name, inner in field_names().items():
        keys.extend((name, each) for each in inner)
        if not inner:
            keys.append((name,))
    return keys


def _tables() -> set[Keys]:
    return {*((name,) for name in _FREE), *((name,) for name, inner in field_names().items() if inner)}


def _refuse_unknown_keys(layer: _Layer) -> None:
    known = [*_all_keys(), ("cloud",)]
    tables = _tables()
    for keys in layer.values:
        if (keys in known and keys not in tables) or (len(keys) == 2 and keys[0] in _FREE):
            continue
        dotted = ".".join(keys)
        if keys in tables:
            raise ConfigurationError(
                f"{layer.locate(keys)}: {dotted} is a table, not a value.", hint=f"write [{dotted}] and its keys below."
            )
        if keys[:1] in known and keys[:1] not in tables:
            raise ConfigurationError(
                f"{layer.locate(keys)}: {keys[0]} is a value, not a table.", hint=f"write {keys[0]} = …"
            )
        choices = [".".join(each) for each in known]
        near = difflib.get_close_matches(dotted, choices, n=1) or [
            each for each in choices if each.split(".")[-1] == keys[-1]
        ]
        hint = f"did you mean {near[0]}?" if near else f"the keys are: {', '.join(choices)}."
        raise ConfigurationError(f"{layer.locate(keys)}: there is no key {dotted!r}.", hint=hint)
