"""Commands against an account in the cloud: a real server on a real port, reached as RunPod is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from devpod_rp.errors import ExitCode
from tests.cli.conftest import Run
from tests.localcloud.conftest import LocalCloud

SECRET = "hf_THISISSECRET"
pytestmark = pytest.mark.slow


def test_the_plan_names_machine_price_and_storage_and_makes_nothing(account: LocalCloud, command: Run) -> None:
    shown = command("up", "--dry-run", "--json", "--gpu", "4090", "--volume", "disk:40")
    assert shown.code == 0
    plan = shown.json
    assert (plan["action"], plan["cloud"], plan["simulated"]) == ("create", "runpod", False)
    assert plan["machine"] == "RTX 4090"
    assert plan["cost_per_hour"] > 0
    assert plan["volume"] == {"kind": "disk", "size_gb": 40, "path": "/workspace", "name": None}
    assert account.client.get("/v2/pods").json()["pods"] == []


def test_the_plan_in_words_says_the_same(account: LocalCloud, command: Run) -> None:
    told = command("up", "--dry-run", "--gpu", "4090").stderr
    for words in ("RTX 4090", "/h", "a month while stopped", "wiped at every stop", "/workspace survives a stop"):
        assert words in told
    assert "(simulated)" not in told


def test_nothing_is_bought_without_a_yes(account: LocalCloud, command: Run) -> None:
    refused = command("up", "--gpu", "4090", "--json")
    assert refused.code == ExitCode.USAGE
    assert "per hour" in refused.json["error"]["message"]
    assert refused.json["error"]["hint"] == "say it with --yes."
    assert account.client.get("/v2/pods").json()["pods"] == []


@pytest.mark.parametrize("wrong", ["rpa_WRONGWRONGWRONG", "two words"])
@pytest.mark.parametrize("words", [("gpus",), ("volumes", "list"), ("up", "--yes"), ("gc",)])
def test_a_wrong_key_is_said_and_not_repeated(
    account: LocalCloud, command: Run, monkeypatch: pytest.MonkeyPatch, wrong: str, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("RUNPOD_API_KEY", wrong)
    for refused in (command(*words, "--json"), command(*words)):
        assert refused.code == ExitCode.AUTHENTICATION
        assert wrong not in refused.stdout + refused.stderr
        assert "RUNPOD_API_KEY" in refused.stdout + refused.stderr


def test_values_of_variables_are_shown_nowhere(account: LocalCloud, command: Run, folder: Path) -> None:
    (folder / "devpod-rp.toml").write_text(f'gpu = ["4090"]\nenv = {{ HF_TOKEN = "{SECRET}" }}\n')
    for words in (("up", "--dry-run"), ("up", "--dry-run", "--json"), ("up", "--json"), ("up", "--gpu", "RTX 9999")):
        outcome = command(*words, "--env", f"OTHER={SECRET}")
        assert SECRET not in outcome.stdout + outcome.stderr
    for path in (Path(os.environ["DEVPOD_RP_HOME"]) / "log").rglob("*"):
        assert SECRET not in path.read_text()


def test_volumes_are_made_listed_and_deleted_only_by_name_and_with_a_yes(account: LocalCloud, command: Run) -> None:
    made = command("volumes", "create", "data", "--size", "10", "--data-center", "EU-RO-1", "--json")
    assert (made.code, made.json["name"]) == (0, "data")
    assert [each["name"] for each in command("volumes", "list", "--json").json["volumes"]] == ["data"]
    assert command("volumes", "delete", "data", "--json").code == ExitCode.USAGE
    assert command("volumes", "delete", "other", "--yes", "--json").code == ExitCode.USAGE
    assert [each["name"] for each in command("volumes", "list", "--json").json["volumes"]] == ["data"]
    assert command("volumes", "delete", "data", "--yes", "--json").json["deleted"] is True
    assert command("volumes", "list", "--json").json["volumes"] == []


@pytest.mark.parametrize(
    "words, named",
    [
        (("volumes", "create", "x", "--size", "9", "--data-center", "EU-RO-1"), "--size"),
        (("up", "--volume", "network:data:5000", "--yes"), "--volume (or --volume-size): volume.size_gb"),
        (("up", "--volume", "floppy", "--yes"), "--volume"),
        (("up", "--wait-capacity", "soon", "--yes"), "--wait-capacity"),
        (("up", "--env", "NOEQUALS", "--yes"), "--env"),
        (("up", "--env", "1BAD=x", "--yes"), "1BAD"),
        (("up", "--tier", "best", "--yes"), "tier"),
        (("up", "--gpu-count", "0", "--yes"), "gpu_count"),
        (("up", "--max-price", "-1", "--yes"), "max_price"),
        (("up", "--data-center", "MOON-1", "--yes"), "MOON-1"),
        (("up", "--template", "nothing", "--yes"), "nothing"),
        (("up", "--folder", "/nowhere", "--yes"), "/nowhere"),
        (("up", "Upper Case", "--yes"), "Upper Case"),
        (("track", "nosuchpod"), "nosuchpod"),
    ],
    ids=" ".join,
)
def test_a_bad_value_is_named_and_nothing_is_made(
    account: LocalCloud, command: Run, words: tuple[str, ...], named: str
) -> None:
    refused = command(*words, "--json")
    assert refused.code in (ExitCode.USAGE, ExitCode.CONFIGURATION, ExitCode.NO_CAPACITY), refused
    assert named in json.dumps(refused.json["error"])
    assert account.client.get("/v2/pods").json()["pods"] == []
    assert account.client.get("/v2/network-volumes").json()["networkVolumes"] == []


def test_pods_of_others_are_shown_with_what_they_cost_and_left_alone(account: LocalCloud, command: Run) -> None:
    foreign = account.running(name="somebody-elses")
    listed = command("list", "--all", "--json").json
    assert foreign["id"] in json.dumps(listed)
    assert "somebody-elses" in command("list", "--all").stdout
    swept = command("gc", "--yes", "--json")
    assert swept.code == 0
    assert account.pod(foreign["id"])["status"] == "RUNNING"
