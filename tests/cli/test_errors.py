"""What can go wrong is said in one paragraph, with a way out and the documented exit code."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from devpod_rp import environments, paths
from devpod_rp.errors import ExitCode
from tests.cli.conftest import Outcome, Run

NEEDS_AN_ENVIRONMENT = (
    ("stop",),
    ("delete", "--yes"),
    ("check",),
    ("rescue",),
    ("status",),
    ("ssh",),
    ("open",),
    ("logs",),
    ("sync", "status"),
    ("sync", "flush"),
    ("sync", "pause"),
    ("sync", "resume"),
    ("sync", "conflicts"),
)


def refused(said: Outcome, code: ExitCode, *words: str) -> None:
    """One error document with *code*, a message that names *words*, and a hint."""
    error = said.json["error"]
    assert said.code == error["code"] == code, error
    for word in words:
        assert word in error["message"] + error["hint"], error
    assert error["hint"], "an error without a way out"
    assert "\n" not in error["message"] + error["hint"]


def toml(folder: Path, text: str) -> None:
    (folder / "devpod-rp.toml").write_text(text, encoding="utf-8")


def environment(folder: Path, name: str = "proj", **changes):
    """A record as an `up` on RunPod leaves it."""
    made = environments.create(
        name=name,
        cloud=changes.pop("cloud", "local"),
        api_url="https://rest.example",
        folder=str(folder),
        workspace="/workspace/proj",
        spec={"sync": {"enabled": True, "mode": "one-way-safe"}},
        volume=environments.VolumeRecord(kind="disk", id=None, size_gb=20, path="/workspace"),
        flags={},
    )
    return environments.save(dataclasses.replace(made, **changes))


# -- the key and the address ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "words", [("gpus",), ("up", "--yes"), ("list", "--cloud", "runpod"), ("volumes", "list"), ("gc",)]
)
def test_a_wrong_key(words, command: Run, account, monkeypatch) -> None:
    monkeypatch.setenv("RUNPOD_API_KEY", "rpa_WRONG")
    said = command(*words, "--json")
    if words[0] == "list":
        assert "rpa_WRONG" not in said.stdout + said.stderr
        return
    refused(said, ExitCode.AUTHENTICATION, "RUNPOD_API_KEY")
    assert "rpa_WRONG" not in said.stdout + said.stderr


@pytest.mark.parametrize("key", ["", "   ", "rpa_two words", "rpa_line\nbreak"])
def test_no_key_or_one_that_cannot_be(key: str, command: Run, monkeypatch, folder) -> None:
    monkeypatch.setenv("RUNPOD_API_KEY", key)
    said = command("gpus", "--cloud", "runpod", "--json")
    refused(said, ExitCode.AUTHENTICATION, "RUNPOD_API_KEY")
    assert not key.strip() or key.strip() not in said.stdout


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "https://", "http://[::1"])
def test_an_address_that_is_none(url: str, command: Run, monkeypatch) -> None:
    monkeypatch.setenv("RUNPOD_API_KEY", "rpa_x")
    monkeypatch.setenv("RUNPOD_API_URL", url)
    refused(command("gpus", "--json"), ExitCode.CONFIGURATION, url, "RUNPOD_API_URL")


@pytest.mark.slow
def test_an_address_where_nobody_answers(command: Run, monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("RUNPOD_API_KEY", "rpa_SECRET")
    monkeypatch.setenv("RUNPOD_API_URL", url)
    said = command("up", "--yes", "--json")
    refused(said, ExitCode.UNREACHABLE, url, "cannot be reached")
    assert "rpa_SECRET" not in said.stdout + said.stderr


def test_an_address_where_somebody_else_answers(command: Run, account, monkeypatch) -> None:
    monkeypatch.setenv("RUNPOD_API_URL", f"{account.url}/portal")
    said = command("gpus", "--json")
    assert said.json["error"]["code"] in (ExitCode.UNREACHABLE, ExitCode.UNEXPECTED)
    assert said.json["error"]["hint"]


def test_a_cloud_that_does_not_exist(command: Run, monkeypatch) -> None:
    monkeypatch.setenv("DEVPOD_RP_CLOUD", "mars")
    refused(command("gpus", "--json"), ExitCode.CONFIGURATION, "mars", "DEVPOD_RP_CLOUD")
    assert command("gpus", "--cloud", "mars", "--json").json["error"]["code"] == ExitCode.USAGE


# -- what was asked for ---------------------------------------------------------------------------------------------
def test_a_gpu_that_does_not_exist(command: Run, cloud) -> None:
    refused(command("up", "--gpu", "RTX 4099", "--json"), ExitCode.CONFIGURATION, "RTX 4099", "4090")
    assert command("list", "--json").json["environments"] == []


@pytest.mark.parametrize(
    "text, where, words",
    [
        ('name = "x"\nimgae = "y"\n', ":2", ("imgae", "image")),
        ("[volume]\nsize = 20\n", ":2", ("volume.size", "volume.size_gb")),
        ("[sync]\nmode = 'both'\n", ":2", ("sync.mode",)),
        ("\n\ngpu_count = 'two'\n", ":3", ("gpu_count",)),
        ("gpu = [\n", "devpod-rp.toml", ("TOML",)),
        ("container_disk_gb = 0\n", ":1", ("container_disk_gb",)),
        ('cloud = "mars"\n', ":1", ("mars", "runpod or local")),
        ('template = "nonesuch"\n', ":1", ("nonesuch",)),
        ('name = "No Name!"\n', ":1", ("No Name!",)),
        ("ports = ['99999/tcp']\n", ":1", ("99999/tcp",)),
    ],
)
def test_a_mistake_in_the_toml_names_file_and_line(text, where, words, command: Run, folder, cloud) -> None:
    toml(folder, text)
    refused(command("up", "--dry-run", "--json"), ExitCode.CONFIGURATION, str(folder / "devpod-rp.toml"), where, *words)


@pytest.mark.parametrize(
    "flags",
    [
        ("--env", "NOVALUE"),
        ("--wait-capacity", "soon"),
        ("--volume", "tape:9"),
        ("--gpu-count", "many"),
        ("--folder", "/no/such/folder"),
        ("--max-price", "cheap"),
    ],
)
def test_a_flag_that_cannot_be_read(flags, command: Run, cloud) -> None:
    said = command("up", "--dry-run", "--json", *flags)
    assert said.code == ExitCode.USAGE
    assert flags[0] in said.json["error"]["message"]


@pytest.mark.parametrize(
    "flags, word",
    [
        (("--gpu-count", "0"), "gpu_count"),
        (("--max-price", "-1"), "max_price"),
        (("--volume-size", "1"), "volume.size_gb"),
        (("--tier", "golden"), "tier"),
        (("--template", "nonesuch"), "nonesuch"),
        (("--cpu", "cpu3c", "--vcpu", "3"), "vcpu"),
        (("--cpu", "cpu3c", "--volume-kind", "disk"), "volume"),
        (("--env", "BAD NAME=x"), "BAD NAME"),
    ],
)
def test_a_flag_whose_value_makes_no_sense(flags, word, command: Run, cloud) -> None:
    refused(command("up", "--dry-run", "--json", *flags), ExitCode.CONFIGURATION, word)


def test_a_price_below_every_offer_is_no_capacity(command: Run, cloud) -> None:
    refused(command("up", "--max-price", "0.01", "--json"), ExitCode.NO_CAPACITY, "max_price")


# -- what is not there ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("words", NEEDS_AN_ENVIRONMENT, ids=" ".join)
def test_with_the_wrong_name(words, command: Run, folder) -> None:
    environment(folder, "real")
    if words == ("ssh",):
        return  # its words may be a command
    refused(command(*words, "unreal", "--json"), ExitCode.USAGE, "unreal")


@pytest.mark.parametrize("name", ["../../etc", "/etc", "UPPER", "a b", "", ".", "-x", "a" * 300, "ü", "a\nb"])
def test_a_name_that_is_none(name, command: Run, folder) -> None:
    environment(folder, "real")
    for words in (("status",), ("stop",), ("delete", "--yes"), ("logs",)):
        said = command(*words, "--json", "--", name)
        assert said.code == ExitCode.USAGE, (words, said)
        assert said.json["error"]


def test_several_environments_and_nobody_to_ask(command: Run, folder, tmp_path) -> None:
    environment(tmp_path / "one", "one")
    environment(tmp_path / "two", "two")
    refused(command("status", "--json"), ExitCode.USAGE, "one, two", "name one of them")


def test_an_endpoint_file_that_cannot_be_read_is_named(command: Run, folder) -> None:
    endpoint = paths.local_cloud_endpoint()
    endpoint.parent.mkdir(parents=True)
    for text in ("{", "[]", "{}", '{"url": 5, "token": "x"}', "null"):
        endpoint.write_text(text)
        refused(command("gpus", "--json"), ExitCode.CONFIGURATION, str(endpoint))


def test_a_home_that_cannot_be_used_is_named(command: Run, folder, monkeypatch) -> None:
    file = folder / "file"
    file.write_text("not a directory")
    monkeypatch.setenv("DEVPOD_RP_HOME", str(file))
    for words in (("up", "--yes"), ("local", "start")):
        said = command(*words, "--json")
        assert said.code != 0
        assert str(file) in said.json["error"]["message"] + str(said.json["error"]["hint"])


def test_a_pod_that_is_not_running_cannot_be_reached(command: Run, folder) -> None:
    environment(folder, status="EXITED")
    refused(command("ssh", "--json"), ExitCode.UNREACHABLE, "EXITED", "devpod-rp up proj")


def test_an_editor_that_nobody_knows(command: Run, folder) -> None:
    environment(folder)
    refused(command("open", "--ide", "ed", "--json"), ExitCode.USAGE, "ed")


def test_a_volume_that_does_not_exist(command: Run, cloud) -> None:
    refused(command("volumes", "delete", "nonesuch", "--yes", "--json"), ExitCode.USAGE, "nonesuch")


def test_a_template_that_does_not_exist(command: Run) -> None:
    refused(command("templates", "show", "nonesuch", "--json"), ExitCode.CONFIGURATION, "nonesuch", "pytorch")


def test_a_pod_to_track_that_does_not_exist(command: Run, cloud) -> None:
    assert command("track", "nonesuch", "--json").json["error"]["code"] in (ExitCode.USAGE, ExitCode.UNEXPECTED)


# -- nothing happens unasked ----------------------------------------------------------------------------------------
def test_what_costs_or_destroys_needs_a_yes(command: Run, folder, account, monkeypatch) -> None:
    refused(command("up", "--json"), ExitCode.USAGE, "--yes")
    assert account.client.get("/v2/pods").json()["pods"] == []
    environment(folder)
    refused(command("delete", "--json"), ExitCode.USAGE, "--yes")
    refused(command("local", "reset", "--json"), ExitCode.USAGE, "--yes")
    volume = account.volume()
    refused(command("volumes", "delete", volume["id"], "--json"), ExitCode.USAGE, "--yes")
    assert environments.find("proj") is not None


def test_a_dry_run_makes_nothing(command: Run, cloud) -> None:
    assert command("up", "--dry-run", "--json").code == 0
    assert cloud.client.get("/v2/pods").json()["pods"] == []
    assert environments.all_environments() == []


def test_faults_that_are_none(command: Run, cloud) -> None:
    refused(command("local", "fault", "not json", "--json"), ExitCode.USAGE, "JSON")
    for faults in ("[]", "5", '{"nonesuch": 1}', '{"create": "explode"}'):
        said = command("local", "fault", faults, "--json")
        assert said.code in (ExitCode.USAGE, ExitCode.CONFIGURATION), faults
        assert said.json["error"]


# -- the ways a process ends ----------------------------------------------------------------------------------------
def test_an_interrupted_command_says_so_in_json_too(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environ = {
            **os.environ,
            "RUNPOD_API_KEY": "rpa_x",
            "RUNPOD_API_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "devpod_rp", "gpus", "--json"],
            env=environ,
            # Where the tests themselves run in the background, Ctrl-C is ignored, and that is inherited.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        silent.settimeout(60)
        silent.accept()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    assert json.loads(stdout)["error"]["code"] == ExitCode.INTERRUPTED
    assert "Traceback" not in stderr


def test_a_reader_that_goes_away_is_no_error(folder: Path, cloud) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "devpod_rp", "gpus"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    stderr = process.stderr.read().decode()
    process.wait(timeout=60)
    process.stderr.close()
    assert "Traceback" not in stderr
    assert "BrokenPipe" not in stderr
