"""``POST /graphql``: HTTP 200 whatever happens, refusals as ``errors[0].message`` in RunPod's words."""

from __future__ import annotations

import functools
import logging
from importlib.resources import files
from typing import Any

from graphql import ExecutionResult, GraphQLSchema, NoSchemaIntrospectionCustomRule, build_schema, execute, parse
from graphql import validate as violations
from graphql.error import GraphQLError
from graphql.validation import specified_rules

from devpod_rp.localcloud.api.call import Call, Reply
from devpod_rp.localcloud.cloud import Cloud
from devpod_rp.localcloud.graphql.mutations import MUTATIONS
from devpod_rp.localcloud.graphql.queries import QUERIES
from devpod_rp.localcloud.problems import Problem, bad_request

log = logging.getLogger(__name__)

_WENT_WRONG = "Something went wrong. Please try again later or contact support."


def answer(cloud: Cloud, call: Call) -> Reply:
    """Carry out one document; introspection is disabled, as on RunPod."""
    body = call.body
    if not isinstance(body, dict) or not isinstance(body.get("query"), str):
        raise bad_request("A GraphQL request is a JSON object with a query.")
    variables = body.get("variables")
    result = _executed(cloud, body["query"], variables if isinstance(variables, dict) else None)
    document: dict[str, Any] = {"data": result.data}
    if result.errors:
        document["errors"] = [_shown(error) for error in result.errors]
    return Reply(document=document)


def _executed(cloud: Cloud, text: str, variables: dict[str, Any] | None) -> ExecutionResult:
    try:
        document = parse(text)
    except GraphQLError as error:
        return ExecutionResult(None, [error])
    wrong = violations(_schema(), document, [*specified_rules, NoSchemaIntrospectionCustomRule])
    if wrong:
        return ExecutionResult(None, wrong)
    result = execute(
        _schema(), document, root_value={**QUERIES, **MUTATIONS}, context_value=cloud, variable_values=variables
    )
    assert isinstance(result, ExecutionResult)  # no resolver here is asynchronous
    return result


def _shown(error: GraphQLError) -> dict[str, Any]:
    original = error.original_error
    if original is None:
        return dict(error.formatted)
    if isinstance(original, Problem):
        return {**error.formatted, "message": original.detail, "extensions": {"code": str(original.status)}}
    log.error("graphql failed", exc_info=original)
    return {**error.formatted, "message": _WENT_WRONG, "extensions": {"code": "INTERNAL_SERVER_ERROR"}}


@functools.lru_cache(maxsize=1)
def _schema() -> GraphQLSchema:
    return build_schema(files(__package__).joinpath("schema.graphql").read_text(encoding="utf-8"))
