"""``/v2/network-volumes``."""

from __future__ import annotations

from devpod_rp.localcloud import schemas
from devpod_rp.localcloud.api import views
from devpod_rp.localcloud.api.call import NO_CONTENT, Call, Reply
from devpod_rp.localcloud.cloud import Cloud


def list_volumes(cloud: Cloud, _call: Call) -> Reply:
    return Reply(document={"networkVolumes": [views.network_volume(volume) for volume in cloud.volumes.all()]})


def create(cloud: Cloud, call: Call) -> Reply:
    return Reply(201, views.network_volume(cloud.volumes.create(call.checked(schemas.CREATE_NETWORK_VOLUME))))


def get(cloud: Cloud, call: Call) -> Reply:
    return Reply(document=views.network_volume(cloud.volumes.get(call.path["id"])))


def update(cloud: Cloud, call: Call) -> Reply:
    changed = cloud.volumes.update(call.path["id"], call.checked(schemas.UPDATE_NETWORK_VOLUME))
    return Reply(document=views.network_volume(changed))


def delete(cloud: Cloud, call: Call) -> Reply:
    cloud.volumes.delete(call.path["id"])
    return NO_CONTENT
