"""Which cloud a command talks to is the same everywhere, and announced with its reason."""

from __future__ import annotations

import pytest

from devpod_rp.errors import AuthenticationError, ConfigurationError, UsageError
from devpod_rp.lifecycle.account import clouds
from tests.lifecycle.conftest import record

KEY = "rpa_SECRETSECRET"


@pytest.mark.parametrize(
    "choice, environ, name, why",
    [
        ("runpod", {"RUNPOD_API_KEY": KEY}, "runpod", "asked for with --cloud"),
        ("local", {"RUNPOD_API_KEY": KEY}, "local", "asked for with --cloud"),
        ("local", {"DEVPOD_RP_CLOUD": "runpod"}, "local", "asked for with --cloud"),
        (None, {"DEVPOD_RP_CLOUD": "local", "RUNPOD_API_KEY": KEY}, "local", "DEVPOD_RP_CLOUD"),
        (None, {"DEVPOD_RP_CLOUD": "runpod", "RUNPOD_API_KEY": KEY}, "runpod", "DEVPOD_RP_CLOUD"),
        (None, {"RUNPOD_API_KEY": KEY}, "runpod", "RUNPOD_API_KEY is set"),
        (None, {}, "local", "no RunPod API key found"),
        (None, {"RUNPOD_API_KEY": "", "DEVPOD_RP_CLOUD": ""}, "local", "no RunPod API key found"),
    ],
)
def test_the_choice_and_its_reason(choice, environ, name, why, cloud) -> None:
    chosen = clouds.choose(choice, environ)
    assert (chosen.name, chosen.why) == (name, why)
    assert why in chosen.announcement
    assert chosen.simulated is (name == "local")
    assert ("simulated" in chosen.announcement) is (name == "local")
    assert KEY not in repr(chosen)
    assert choice is not None or clouds.default_name(environ) == name


def test_the_variable_goes_before_the_configuration_and_that_before_the_key() -> None:
    with_key = {"RUNPOD_API_KEY": KEY}
    assert clouds.choose(None, with_key, configured="runpod").why == "the configuration says so"
    chosen = clouds.choose(None, {**with_key, "DEVPOD_RP_CLOUD": "runpod"}, configured="local")
    assert (chosen.name, chosen.why) == ("runpod", "DEVPOD_RP_CLOUD")


def test_runpods_address_is_built_in_and_can_be_replaced() -> None:
    assert clouds.choose("runpod", {"RUNPOD_API_KEY": KEY}).url == "https://api.runpod.io"
    other = {"RUNPOD_API_KEY": f" {KEY}\n", "RUNPOD_API_URL": "https://rest.example"}
    chosen = clouds.choose("runpod", other)
    assert (chosen.url, chosen.key) == ("https://rest.example", KEY)


@pytest.mark.parametrize("environ", [{}, {"RUNPOD_API_KEY": ""}, {"RUNPOD_API_KEY": " \n"}])
def test_runpod_without_a_key_is_refused_and_never_becomes_the_local_cloud(environ) -> None:
    with pytest.raises(AuthenticationError):
        clouds.choose("runpod", environ)
    with pytest.raises(AuthenticationError):
        clouds.choose(None, {"DEVPOD_RP_CLOUD": "runpod", **environ})


def test_a_cloud_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="mars"):
        clouds.choose(None, {"DEVPOD_RP_CLOUD": "mars"})


def test_an_environment_stays_in_its_cloud_whatever_the_default_is_today(cloud, folder, monkeypatch) -> None:
    made = record(folder)
    monkeypatch.setenv("RUNPOD_API_KEY", KEY)
    assert clouds.choose(None).name == "runpod"
    assert clouds.of_environment(made).url == cloud.url
    clouds.refuse_other_cloud(made, None)
    clouds.refuse_other_cloud(made, "local")
    with pytest.raises(UsageError, match="is in the local cloud, not runpod"):
        clouds.refuse_other_cloud(made, "runpod")


def test_asking_whether_the_local_cloud_runs_never_starts_it(folder) -> None:
    assert clouds.local_cloud_running() is None
    assert list(folder.parent.iterdir()) == [folder]


def test_an_endpoint_whose_server_is_gone_is_no_running_cloud(cloud) -> None:
    assert clouds.local_cloud_running() is not None
    endpoint = cloud.settings.endpoint.read_text()
    cloud.stop()
    cloud.settings.endpoint.write_text(endpoint)
    assert clouds.local_cloud_running() is None


def test_an_endpoint_with_another_servers_token_is_no_running_cloud(cloud) -> None:
    cloud.settings.endpoint.write_text(cloud.settings.endpoint.read_text().replace(cloud.token, "stale"))
    assert clouds.local_cloud_running() is None
