"""``/v2/account/ssh-keys``: the keys that pods created with ``startSsh`` get as PUBLIC_KEY."""

from __future__ import annotations

from devpod_rp.localcloud import schemas
from devpod_rp.localcloud.api.call import Call, Reply
from devpod_rp.localcloud.cloud import Cloud


def ssh_keys(cloud: Cloud, _call: Call) -> Reply:
    with cloud.ledger.transaction() as books:
        return Reply(document={"keys": books.get("ssh_keys", [])})


def replace_ssh_keys(cloud: Cloud, call: Call) -> Reply:
    keys = call.checked(schemas.UPDATE_SSH_KEYS)["keys"]
    with cloud.ledger.transaction() as books:
        books.put("ssh_keys", keys)
    return Reply(document={"keys": keys})
