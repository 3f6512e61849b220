"""What every resolver is given and may give back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from devpod_rp.localcloud.cloud import Cloud


class Info(Protocol):
    """The part of graphql-core's ``GraphQLResolveInfo`` that our resolvers use."""

    context: Cloud


Input = Mapping[str, Any]
Resolver = Callable[..., Any]
