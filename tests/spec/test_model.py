"""What the model itself promises, whatever the source."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from devpod_rp.errors import ConfigurationError
from devpod_rp.spec.model import EnvironmentSpec, field_names
from devpod_rp.spec.names import LONGEST, slug, validate_name
from devpod_rp.spec.parts import SyncSpec, VolumeSpec


def spec(**values) -> EnvironmentSpec:
    return EnvironmentSpec.model_validate({"image": "x:1", "gpu": ["L4"], **values})


def test_the_ssh_port_is_always_there_and_ports_are_not_repeated():
    assert spec().ports == ("22/tcp",)
    assert spec(ports=["8888/http", "22/tcp", "8888/http"]).ports == ("8888/http", "22/tcp")


def test_it_is_frozen_and_knows_no_other_keys():
    with pytest.raises(ValidationError):
        spec().image = "y"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        spec(imag="y")


def test_paths_lose_their_trailing_slash():
    found = spec(workspace="/data/code/", volume={"path": "/data/"})
    assert (found.workspace, found.volume.path) == ("/data/code", "/data")


@pytest.mark.parametrize(
    ("workspace", "volume", "fits"),
    [
        ("/workspace", {}, True),
        ("/workspace/a", {}, True),
        ("/workspace2/a", {}, False),
        ("/data/a", {"path": "/data"}, True),
        ("/root/a", {"kind": "none"}, True),
    ],
)
def test_the_workspace_lies_on_the_volume(workspace, volume, fits):
    if fits:
        assert spec(workspace=workspace, volume=volume).workspace == workspace
    else:
        with pytest.raises(ValidationError, match="wiped at every stop"):
            spec(workspace=workspace, volume=volume)


def test_it_survives_a_round_trip_through_json():
    found = spec(env={"A": "1"}, volume={"kind": "network", "name": "data"}, sync={"ignore": ["*.pt"]})
    assert EnvironmentSpec.model_validate_json(found.model_dump_json()) == found


def test_the_keys_of_the_configuration_are_those_of_the_model():
    names = field_names()
    assert names["volume"] == tuple(VolumeSpec.model_fields)
    assert names["sync"] == tuple(SyncSpec.model_fields)
    assert names["image"] == ()


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("My Project", "my-project"),
        ("llm_finetune.v2", "llm-finetune-v2"),
        ("--x--", "x"),
        ("ÄÖÜ", "project"),
        ("", "project"),
        ("a" * 60, "a" * LONGEST),
        ("a" * (LONGEST - 1) + "-b", "a" * (LONGEST - 1)),
    ],
)
def test_names_from_folders_are_always_possible_names(folder, name):
    assert slug(folder) == name
    assert validate_name(name, "test") == name


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a.b", "a_b", "é", "a" * (LONGEST + 1), "a\n"])
def test_impossible_names_are_refused_with_a_proposal(name):
    with pytest.raises(ConfigurationError) as caught:
        validate_name(name, "here")
    assert caught.value.message.startswith("here: ")
    assert slug(name) in str(caught.value.hint)


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ({"precious": ["data/**"]}, "must begin with"),
        ({"precious": ["/a/../b"]}, "can match no path"),
        ({"ignore": ["/scratch/"]}, "write /scratch/\\*\\* for everything below it"),
        ({"ignore": ["/**"]}, "would ignore everything"),
        ({"ignored": ["/a"]}, "Extra inputs"),
    ],
)
def test_a_guard_rule_that_cannot_work_is_refused_and_says_how_to_write_it(table, word):
    with pytest.raises(ValidationError, match=word):
        spec(guard=table)


def test_guard_rules_are_kept_as_written():
    found = spec(guard={"precious": ["~/results/**", "**/*.ckpt"], "ignore": ["/scratch/**"]}).guard
    assert (found.precious, found.ignore) == (("~/results/**", "**/*.ckpt"), ("/scratch/**",))
