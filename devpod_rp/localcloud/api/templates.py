"""``/v2/templates`` and ``/v2/catalog/templates``."""

from __future__ import annotations

from devpod_rp.localcloud import schemas, templates
from devpod_rp.localcloud.api.call import NO_CONTENT, Call, Reply
from devpod_rp.localcloud.cloud import Cloud
from devpod_rp.localcloud.problems import not_found

_MOST_PUBLIC = 100


def list_own(cloud: Cloud, _call: Call) -> Reply:
    with cloud.ledger.transaction() as books:
        return Reply(document={"templates": [templates.own(template) for template in books.templates()]})


def list_public(cloud: Cloud, call: Call) -> Reply:
    source = call.one("source", {"enum": ["official", "verified", "community"]}) or "official"
    found = [templates.public(each) for each in cloud.catalog.templates.values() if each.source == source]
    return Reply(document={"templates": found[:_MOST_PUBLIC]})


def create(cloud: Cloud, call: Call) -> Reply:
    template = templates.new(call.checked(schemas.CREATE_TEMPLATE), cloud.clock())
    with cloud.ledger.transaction() as books:
        books.save_template(template)
    return Reply(201, templates.own(template))


def get(cloud: Cloud, call: Call) -> Reply:
    with cloud.ledger.transaction() as books:
        return Reply(document=templates.find(call.path["id"], books, cloud.catalog))


def update(cloud: Cloud, call: Call) -> Reply:
    body = call.checked(schemas.UPDATE_TEMPLATE)
    with cloud.ledger.transaction() as books:
        template = books.template(call.path["id"])
        if template is None:
            raise not_found()
        changed = templates.edited(template, body)
        books.save_template(changed)
    return Reply(document=templates.own(changed))


def delete(cloud: Cloud, call: Call) -> Reply:
    """Pods keep no link to their template (their ``template`` is null), so none can stand in the way."""
    with cloud.ledger.transaction() as books:
        if books.template(call.path["id"]) is None:
            raise not_found()
        books.forget_template(call.path["id"])
    return NO_CONTENT
