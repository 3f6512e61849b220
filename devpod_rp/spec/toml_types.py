"""What type of value a key of a file wants.

Variables and flags are text, so the model reads ``"50"`` as a number; a file has types of its own, and an editor that
completes it by our schema must not disagree with us.
"""

from __future__ import annotations

import functools
import types
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from devpod_rp.spec.model import EnvironmentSpec

Keys = tuple[str, ...]

# Read as text by the model itself: "$5", "never".
_SPELLED = {("max_cost",)}
# A decision, or that a person is to be asked for it.
_ASKED = {("persist", "replay")}
# Keys of a file that say which environment is meant, and are no part of the model.
_BESIDE: dict[Keys, type] = {("name",): str}


def mistyped(keys: Keys, value: object) -> str | None:
    """What is wrong with the type of *value* at *keys* in a file; None where that is the model's to judge."""
    if keys in _ASKED:
        return None if isinstance(value, bool) or value == "ask" else 'is true, false or "ask"'
    wanted = _scalars().get(keys)
    if wanted is None or (keys in _SPELLED and isinstance(value, str)):
        return None
    if wanted is bool:
        return None if isinstance(value, bool) else "is true or false, without quotes"
    if wanted is str:
        return None if isinstance(value, str) else "is text, in quotes"
    return None if isinstance(value, (int, float)) and not isinstance(value, bool) else "is a number, without quotes"


@functools.cache
def _scalars() -> dict[Keys, type]:
    return {**_of(EnvironmentSpec), **_BESIDE}


def _of(part: type[BaseModel], above: Keys = ()) -> dict[Keys, type]:
    found: dict[Keys, type] = {}
    for name, field in part.model_fields.items():
        keys, plain = (*above, name), _plain(field.annotation)
        if isinstance(plain, type) and issubclass(plain, BaseModel):
            found.update(_of(plain, keys))
        elif plain in (bool, int, float, str):
            found[keys] = plain
    return found


def _plain(annotation: Any) -> Any:
    """*annotation* without ``None``, ``Annotated`` and the like."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        some = [each for each in get_args(annotation) if each is not type(None)]
        return _plain(some[0]) if len(some) == 1 else None
    return annotation
