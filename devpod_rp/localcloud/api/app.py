"""The table of paths."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.applications import Starlette
from starlette.routing import Route

from devpod_rp.localcloud.api import account, admin, billing, catalog, logs, pods, templates, volumes
from devpod_rp.localcloud.api.call import Handler
from devpod_rp.localcloud.api.gate import Gate, Resource
from devpod_rp.localcloud.cloud import Cloud
from devpod_rp.localcloud.graphql import endpoint as graphql

ROUTES: Mapping[str, Mapping[str, Handler]] = {
    "/v2/pods": {"GET": pods.list_pods, "POST": pods.create},
    "/v2/pods/{id}": {"GET": pods.get, "PATCH": pods.update, "DELETE": pods.delete},
    "/v2/pods/{id}/action": {"POST": pods.act},
    "/v2/pods/{id}/logs": {"GET": logs.stream},
    "/v2/network-volumes": {"GET": volumes.list_volumes, "POST": volumes.create},
    "/v2/network-volumes/{id}": {"GET": volumes.get, "PATCH": volumes.update, "DELETE": volumes.delete},
    "/v2/account/ssh-keys": {"GET": account.ssh_keys, "PUT": account.replace_ssh_keys},
    "/v2/catalog/gpus": {"GET": catalog.list_gpus},
    "/v2/catalog/gpus/{id}": {"GET": catalog.get_gpu},
    "/v2/catalog/cpus": {"GET": catalog.list_cpus},
    "/v2/catalog/cpus/{id}": {"GET": catalog.get_cpu},
    "/v2/catalog/datacenters": {"GET": catalog.list_data_centers},
    "/v2/catalog/datacenters/{id}": {"GET": catalog.get_data_center},
    "/v2/catalog/templates": {"GET": templates.list_public},
    "/v2/templates": {"GET": templates.list_own, "POST": templates.create},
    "/v2/templates/{id}": {"GET": templates.get, "PATCH": templates.update, "DELETE": templates.delete},
    "/v2/billing/pods": {"GET": billing.list_pods},
    "/v2/billing/network-volumes": {"GET": billing.list_network_volumes},
}


def build(
    cloud: Cloud,
    token: str,
    *,
    stop: Callable[[], None],
    on_request: Callable[[], None],
) -> Starlette:
    """The application. *stop* asks the process to end; *on_request* hears of every request."""
    gate = Gate(cloud, token, on_request)
    table = {**ROUTES, "/graphql": {"POST": graphql.answer}, **admin.routes(stop)}
    routes = [Route(path, Resource(gate, handlers)) for path, handlers in table.items()]
    routes.append(Route("/{path:path}", Resource(gate, {})))
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return app
