"""What an interrupted command announced is found again: adopted, or ended, never forgotten."""

from __future__ import annotations

import dataclasses

from devpod_rp import environments
from devpod_rp.lifecycle import leftovers
from devpod_rp.lifecycle.account import ownership, provision
from devpod_rp.lifecycle.account.clouds import choose
from devpod_rp.progress import silent
from tests.lifecycle.conftest import announce, record

LONG_AGO = provision.SETTLING_SECONDS + 5


def live(cloud) -> list[str]:
    return [pod["id"] for pod in cloud.client.get("/v2/pods").json()["pods"] if pod["status"] != "TERMINATED"]


def test_without_an_intent_nothing_is_asked(cloud, client, folder) -> None:
    made = record(folder)
    before = len(cloud.seen)
    assert provision.settle(made, client, silent) is made
    assert len(cloud.seen) == before


def test_a_pod_that_was_made_and_not_recorded_is_adopted(cloud, client, folder) -> None:
    made = record(folder)
    announce(made, candidate="RTX 4090")
    pod = cloud.create(name=made.pod_name)
    settled = provision.settle(made, client, silent)
    assert (settled.pod_id, settled.gpu, settled.half_made) == (pod["id"], "RTX 4090", True)
    assert environments.load("proj").pod_id == pod["id"]
    assert environments.read_intent("proj") is None


def test_a_pod_that_replaces_one_that_is_gone_is_adopted_too(cloud, client, folder) -> None:
    made = record(folder, pod_id="gone", used_pod="gone", status="TERMINATED")
    announce(made)
    pod = cloud.create(name=made.pod_name)
    settled = provision.settle(made, client, silent)
    assert (settled.pod_id, settled.half_made) == (pod["id"], True)
    assert environments.read_intent("proj") is None


def test_of_two_pods_the_recorded_one_stays_else_the_older(cloud, client, folder) -> None:
    made = record(folder)
    announce(made)
    first, second = cloud.create(name=made.pod_name), cloud.create(name=made.pod_name)
    assert provision.settle(made, client, silent).pod_id == first["id"]
    assert live(cloud) == [first["id"]]
    third = cloud.create(name=made.pod_name)
    known = environments.save(dataclasses.replace(environments.load("proj"), pod_id=third["id"]))
    announce(known)
    assert provision.settle(known, client, silent).pod_id == third["id"]
    assert live(cloud) == [third["id"]]
    assert second["id"] not in live(cloud)


def test_pods_of_other_names_are_never_touched(cloud, client, folder) -> None:
    made = record(folder)
    announce(made, age_seconds=LONG_AGO)
    other = cloud.create(name=f"{made.pod_name}-2")
    assert provision.settle(made, client, silent).pod_id is None
    assert live(cloud) == [other["id"]]


def test_a_lost_request_may_still_become_a_pod_for_a_minute(cloud, client, folder) -> None:
    made = record(folder)
    announce(made)
    assert provision.settle(made, client, silent).pod_id is None
    assert environments.read_intent("proj") is not None
    pod = cloud.create(name=made.pod_name)
    assert provision.settle(made, client, silent).pod_id == pod["id"]


def test_an_intent_that_came_to_nothing_is_cleared(cloud, client, folder) -> None:
    made = record(folder)
    announce(made, age_seconds=LONG_AGO)
    assert provision.settle(made, client, silent) == made
    assert environments.read_intent("proj") is None


def test_a_terminated_pod_is_not_adopted(cloud, client, folder) -> None:
    made = record(folder)
    announce(made, age_seconds=LONG_AGO)
    client.delete_pod(cloud.create(name=made.pod_name)["id"])
    assert provision.settle(made, client, silent).pod_id is None


def test_a_volume_that_was_made_and_not_recorded_is_adopted(cloud, client, folder) -> None:
    made = record(folder, kind="network")
    announce(made, "create-volume", volume="devpod-proj")
    volume = cloud.volume(name="devpod-proj", size=30)
    settled = provision.settle(made, client, silent)
    assert (settled.volume.id, settled.volume.size_gb) == (volume["id"], 30)
    assert environments.read_intent("proj") is None


def test_the_survey_proposes_to_end_what_was_never_handed_over_and_to_adopt_what_may_hold_work(
    cloud, client, folder
) -> None:
    where = choose("local")
    made = record(folder)
    stamped = {"env": {ownership.VARIABLE: ownership.stamp(made)}}
    half = cloud.running(name=made.pod_name, **stamped)
    made = environments.save(dataclasses.replace(made, pod_id=half["id"]))
    foreign = cloud.create(name="somebody-elses")
    found = leftovers.survey(where, client, silent)
    assert [(each.pod_id, each.remedy, each.environment) for each in found.leftovers] == [
        (half["id"], "terminate", "proj")
    ]
    made = environments.save(dataclasses.replace(made, used_pod=half["id"]))
    assert leftovers.survey(where, client, silent).leftovers == ()
    environments.remove("proj")
    [lost] = leftovers.survey(where, client, silent).leftovers
    assert (lost.pod_id, lost.remedy, lost.environment) == (half["id"], "adopt", "proj")
    assert set(live(cloud)) == {half["id"], foreign["id"]}


def test_an_environment_that_a_command_works_on_is_left_alone(cloud, client, folder) -> None:
    made = record(folder)
    stamped = {"env": {ownership.VARIABLE: ownership.stamp(made)}}
    half = cloud.running(name=made.pod_name, **stamped)
    environments.save(dataclasses.replace(made, pod_id=half["id"]))
    with environments.locked("proj"):
        assert leftovers.survey(choose("local"), client, silent).leftovers == ()
    assert live(cloud) == [half["id"]]


def test_a_volume_that_no_environment_uses_is_told_and_kept(cloud, client, folder) -> None:
    used, attached, idle = (cloud.volume(name=name) for name in ("used", "attached", "idle"))
    record(folder, kind="network", volume_id=used["id"])
    cloud.create(mounts={"network": [{"volumeId": attached["id"], "path": "/workspace"}]}, dataCenterIds=["EU-RO-1"])
    found = leftovers.survey(choose("local"), client, silent)
    assert [each.id for each in found.idle_volumes] == [idle["id"]]
    assert len(client.network_volumes()) == 3
