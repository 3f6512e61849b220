"""Container templates: the account's own, the public catalog's, and applying one to a pod request."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from devpod_rp.localcloud import commands
from devpod_rp.localcloud.catalog import Catalog, PublicTemplate
from devpod_rp.localcloud.ledger import Books
from devpod_rp.localcloud.problems import bad_request, invalid, not_found
from devpod_rp.localcloud.records import Template

Document = Mapping[str, Any]

_DEFAULTS: Document = {
    "args": "",
    "disk": 20,
    "env": {},
    "ports": [],
    "registry": None,
    "mounts": {},
    "serverless": False,
    "public": False,
    "category": "NVIDIA",
    "startSsh": True,
    "startJupyter": True,
    "allowedCudaVersions": [],
}
_CONTAINER_KEYS = ("image", "args", "disk", "ports", "registry")


def new(body: Document, now: float) -> Template:
    """A template of the account, for the validated create body *body*."""
    return Template(secrets.token_hex(5), now, _edited(_DEFAULTS, body))


def edited(template: Template, body: Document) -> Template:
    return Template(template.id, template.created_at, _edited(template.document, body))


def own(template: Template) -> dict[str, Any]:
    """The API's form of one of the account's templates."""
    return _shown(template.id, template.document)


def public(template: PublicTemplate) -> dict[str, Any]:
    """The API's form of a template of the public catalog."""
    document = {
        **_DEFAULTS,
        "name": template.name,
        "image": template.image,
        "args": template.args,
        "disk": template.disk,
        "env": dict(template.env),
        "ports": list(template.ports),
        "mounts": {"persistent": dict(template.persistent)} if template.persistent else {},
        "public": True,
        "category": template.category,
        "allowedCudaVersions": list(template.allowed_cuda),
    }
    return _shown(template.id, document)


def find(template_id: str, books: Books, catalog: Catalog) -> dict[str, Any]:
    """Any template the account can read. Raises Problem 404."""
    mine = books.template(template_id)
    if mine is not None:
        return own(mine)
    if template_id in catalog.templates:
        return public(catalog.templates[template_id])
    raise not_found()


def applied_to_create(body: Document, books: Books, catalog: Catalog) -> dict[str, Any]:
    """*body* with the template it names spread under it: body wins, ``env`` is merged per key.

    CPU pods take neither the template's persistent mount nor its CUDA constraint.

    Raises:
        Problem: 404 for an unknown template, 422 for a serverless one.
    """
    if "templateId" not in body:
        return dict(body)
    template = _pod_template(body["templateId"], books, catalog)
    request = _container_settings(template, body)
    for flag in ("startSsh", "startJupyter"):
        request.setdefault(flag, template[flag])
    if "gpu" in body:
        if template["mounts"] and not body.get("mounts"):
            request["mounts"] = template["mounts"]
        constrained = "allowedCudaVersions" in body["gpu"] or "minCudaVersion" in body["gpu"]
        if template["allowedCudaVersions"] and not constrained:
            request["gpu"] = {**body["gpu"], "allowedCudaVersions": template["allowedCudaVersions"]}
    return request


def applied_to_update(body: Document, books: Books, catalog: Catalog) -> dict[str, Any]:
    """*body* with the container settings of the template it names spread under it; mounts are not applied.

    Raises:
        Problem: 404 for an unknown template, 422 for a serverless one.
    """
    if "templateId" not in body:
        return dict(body)
    return _container_settings(_pod_template(body["templateId"], books, catalog), body)


def _pod_template(template_id: str, books: Books, catalog: Catalog) -> dict[str, Any]:
    template = find(template_id, books, catalog)
    if template["serverless"]:
        raise invalid(["$.templateId: the template is a serverless template"])
    return template


def _container_settings(template: Document, body: Document) -> dict[str, Any]:
    inherited = {key: template[key] for key in _CONTAINER_KEYS}
    if {"args", "cmd", "entrypoint"} & set(body):
        del inherited["args"]
    return {**inherited, **body, "env": {**template["env"], **body.get("env", {})}}


def _edited(present: Document, body: Document) -> dict[str, Any]:
    if body.get("registry"):
        raise bad_request("The registry credential does not exist.")
    document = {**present, **{key: value for key, value in body.items() if key not in ("cmd", "entrypoint")}}
    document["args"] = commands.stored(body, present["args"])
    if not body.get("mounts"):
        document["mounts"] = present["mounts"]
    return document


def _shown(template_id: str, document: Document) -> dict[str, Any]:
    command = commands.decode(document["args"])
    return {
        "id": template_id,
        **document,
        "entrypoint": list(command.entrypoint),
        "cmd": list(command.cmd),
    }
