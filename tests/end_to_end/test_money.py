"""What a user is told about money, on an account that has little of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.end_to_end.conftest import World, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def pod(world: World) -> Iterator[World]:
    (world.home / "config").mkdir(parents=True)
    (world.home / "config" / "local-cloud.toml").write_text("[account]\nbalance_usd = 5.0\n")
    world.up("--max-cost", "$3")
    yield world
    assert world.run("delete", "--yes", "--force").exit_code == 0


def test_status_tells_price_spending_and_how_long_the_money_lasts(pod: World) -> None:
    eventually(lambda: pod.run("status", "--json").json["cost"]["in_all"] > 0, "something is spent")
    status = pod.run("status", "--json").json
    cost, account = status["cost"], status["account"]
    assert cost["per_hour"] == pytest.approx(cost["compute_per_hour"] + cost["storage_per_hour"], abs=1e-3)
    assert cost["compute_per_hour"] == status["cost_per_hour"]
    assert cost["stopped_per_month"] == 10.0
    assert cost["in_all"] >= cost["this_run"] > 0
    assert cost["simulated"] is True
    assert status["limits"]["cost_usd"] == 3.0
    assert account["low"] is True
    assert account["hours_left"] == pytest.approx(account["balance"] / account["burn_per_hour"], rel=0.01)
    assert [each["dies"] for each in account["at_zero"]] == [True]


def test_the_ledger_agrees_with_what_the_cloud_takes_off_the_balance(pod: World) -> None:
    document = pod.run("cost", "--json").json
    assert document["unbilled"] is None
    assert {each["environment"] for each in document["days"]} == {"proj"}
    assert 5.0 - document["account"]["balance"] == pytest.approx(document["total"], abs=0.005)


def test_low_money_is_a_warning_that_names_what_dies(pod: World) -> None:
    for command in ("status", "list", "cost"):
        said = pod.run(command)
        assert "simulated" in said.stdout
        assert "terminated, and its volume disk with it" in said.stderr, command


def test_who_works_in_the_pod_is_warned_without_asking(pod: World) -> None:
    eventually(
        lambda: "the account's money ends in" in pod.run("logs").stdout, "the pod's terminals are told", seconds=60
    )


def test_the_list_tells_of_every_account(pod: World) -> None:
    overview = pod.run("list", "--json").json
    assert overview["accounts"]["local"]["balance"] == pytest.approx(5.0, abs=0.1)
    assert overview["environments"][0]["cost"]["stopped_per_month"] == 10.0


def test_a_stopped_pod_costs_its_volume_alone(pod: World) -> None:
    assert pod.run("stop", "--json").exit_code == 0
    cost = pod.run("status", "--json").json["cost"]
    assert (cost["compute_per_hour"], cost["this_run"]) == (0.0, None)
    assert cost["per_hour"] == pytest.approx(10.0 / 730, abs=1e-4)


def test_what_was_deleted_is_still_in_the_table(world: World) -> None:
    days = world.run("cost", "--json").json["days"]
    assert [each["environment"] for each in days] == ["proj"]
