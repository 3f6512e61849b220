"""Stopping and deleting: what is refused, what survives, and what is left in the cloud afterwards."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from devpod_rp import environments
from devpod_rp.environments import Environment, SshEndpoint
from devpod_rp.errors import UnreachableError, WouldLoseDataError
from devpod_rp.lifecycle.delete import delete
from devpod_rp.lifecycle.risk.decision import Decision
from devpod_rp.lifecycle.stop import stop
from devpod_rp.progress import Event, silent
from devpod_rp.runpod.errors import Unauthorized
from tests.lifecycle.conftest import announce, record
from tests.localcloud.conftest import LocalCloud


def never(report: Any) -> Decision:
    raise AssertionError("nobody may be asked")


def handed_over(cloud: LocalCloud, made: Environment, **changes: Any) -> Environment:
    """*made* with a pod that runs and was in use; nothing answers at its address."""
    pod = cloud.running(name=made.pod_name, **changes)
    return environments.save(
        dataclasses.replace(
            made,
            pod_id=pod["id"],
            used_pod=pod["id"],
            status="RUNNING",
            ssh=SshEndpoint("127.0.0.1", 9, "root"),
            host_key="ssh-ed25519 AAAA",
            cost_per_hour=pod["cost"],
        )
    )


def on_network(cloud: LocalCloud, folder) -> Environment:
    volume = cloud.volume()
    made = record(folder, kind="network", volume_id=volume["id"])
    mounts = {"network": [{"volumeId": volume["id"], "path": "/workspace"}]}
    return handed_over(cloud, made, mounts=mounts, dataCenterIds=["EU-RO-1"])


GONE = 404


def status(cloud: LocalCloud, made: Environment) -> str | int | None:
    return cloud.pod(made.pod_id or "").get("status")


# -- stop -----------------------------------------------------------------------------------------------------------
def test_a_pod_that_nobody_can_look_into_runs_on(cloud, folder) -> None:
    made = handed_over(cloud, record(folder))
    with pytest.raises(WouldLoseDataError, match="could not look"):
        stop("proj", never, silent)
    assert status(cloud, made) == "RUNNING"
    assert environments.load("proj").status == "RUNNING"


def test_force_stops_it_and_says_that_nobody_looked(cloud, folder) -> None:
    made = handed_over(cloud, record(folder))
    told: list[Event] = []
    stopped = stop("proj", never, told.append, force=True)
    assert (stopped.was_running, stopped.guarded.report) == (True, None)
    assert any(event.warning and "without looking" in event.message for event in told)
    known = environments.load("proj")
    assert (known.status, known.pod_id, known.cost_per_hour) == ("EXITED", made.pod_id, 0.0)
    assert known.host_key is None, "its next start makes new host keys"
    assert status(cloud, made) == "EXITED"


def test_stopping_twice_is_harmless(cloud, folder) -> None:
    handed_over(cloud, record(folder))
    stop("proj", never, silent, force=True)
    again = stop("proj", never, silent)
    assert (again.was_running, again.environment.status) == (False, "EXITED")


def test_a_network_volume_hibernates_the_pod_is_gone_and_the_volume_stays(cloud, folder) -> None:
    made = on_network(cloud, folder)
    stop("proj", never, silent, force=True)
    known = environments.load("proj")
    assert (known.status, known.pod_id, known.volume) == ("HIBERNATED", None, made.volume)
    assert status(cloud, made) == GONE
    assert [each["id"] for each in cloud.client.get("/v2/network-volumes").json()["networkVolumes"]] == [made.volume.id]
    assert stop("proj", never, silent).was_running is False


def test_a_half_made_pod_is_stopped_without_a_look(cloud, folder) -> None:
    made = handed_over(cloud, record(folder))
    environments.save(dataclasses.replace(made, used_pod=None))
    assert stop("proj", never, silent).guarded.report is None
    assert status(cloud, made) == "EXITED"


def test_a_pod_that_ended_in_the_console_is_noticed(cloud, folder) -> None:
    made = handed_over(cloud, record(folder))
    cloud.client.delete(f"/v2/pods/{made.pod_id}")
    stopped = stop("proj", never, silent)
    assert (stopped.was_running, stopped.environment.status) == (False, "TERMINATED")


def test_a_stop_that_the_cloud_refuses_changes_nothing(cloud, folder) -> None:
    made = handed_over(cloud, record(folder))
    cloud.faults(key="revoked")
    with pytest.raises(Unauthorized):
        stop("proj", never, silent, force=True)
    cloud.faults()
    assert status(cloud, made) == "RUNNING"
    assert environments.load("proj") == made


def test_a_stop_whose_answer_is_lost_is_told_and_the_same_command_finishes_it(cloud, folder) -> None:
    made = handed_over(cloud, record(folder))
    cloud.faults(errors={"next": 1, "when": "after", "method": "POST"})
    with pytest.raises(UnreachableError, match="may have happened"):
        stop("proj", never, silent, force=True)
    stop("proj", never, silent, force=True)
    assert status(cloud, made) == "EXITED"


# -- delete ---------------------------------------------------------------------------------------------------------
def test_a_stopped_volume_disk_dies_only_with_force(cloud, folder) -> None:
    made = handed_over(cloud, record(folder))
    stop("proj", never, silent, force=True)
    with pytest.raises(WouldLoseDataError, match="nobody can look at its volume disk"):
        delete("proj", never, never, silent)
    assert status(cloud, made) == "EXITED"
    delete("proj", never, never, silent, force=True)
    assert status(cloud, made) == GONE
    assert environments.find("proj") is None


def test_a_running_pod_that_nobody_can_look_into_is_not_deleted(cloud, folder) -> None:
    made = handed_over(cloud, record(folder))
    with pytest.raises(WouldLoseDataError):
        delete("proj", never, never, silent)
    assert status(cloud, made) == "RUNNING"
    assert environments.find("proj") is not None


def test_a_network_volume_is_kept_and_named(cloud, folder) -> None:
    made = on_network(cloud, folder)
    deleted = delete("proj", never, never, silent, force=True)
    assert deleted.kept_volume == made.volume.id
    assert len(cloud.client.get("/v2/network-volumes").json()["networkVolumes"]) == 1


def test_a_hibernating_environment_is_deleted_without_a_question(cloud, folder) -> None:
    on_network(cloud, folder)
    stop("proj", never, silent, force=True)
    assert delete("proj", never, never, silent).kept_volume
    assert environments.all_environments() == []


def test_what_an_interrupted_up_made_is_deleted_too(cloud, folder) -> None:
    made = record(folder)
    announce(made)
    pod = cloud.create(name=made.pod_name)
    delete("proj", never, never, silent)
    assert cloud.pod(pod["id"])["status"] == GONE
    assert environments.find("proj") is None


def test_an_environment_whose_last_request_is_open_is_not_forgotten(cloud, folder) -> None:
    announce(record(folder))
    with pytest.raises(environments.IntentPending):
        delete("proj", never, never, silent)
    assert environments.find("proj") is not None


def test_a_deletion_that_the_cloud_refuses_forgets_nothing(cloud, folder) -> None:
    made = handed_over(cloud, record(folder))
    cloud.faults(key="revoked")
    with pytest.raises(Unauthorized):
        delete("proj", never, never, silent, force=True)
    cloud.faults()
    assert environments.load("proj") == made
