"""``login``: the key is verified, kept where only its owner gets at it, and shown nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devpod_rp.errors import ExitCode
from tests.localcloud.conftest import LocalCloud

pytestmark = pytest.mark.slow
NO_KEYRING = "keyring.backends.fail.Keyring"
DRAWER = "tests.cli.drawer.Drawer"


@dataclass(frozen=True)
class Person:
    """Somebody with a home of their own, whose RunPod is a real server on a real port."""

    home: Path
    folder: Path
    cloud: LocalCloud

    def run(self, *words: str, typed: str = "", backend: str = NO_KEYRING, **environ: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "devpod_rp", *words, "--json"],
            input=typed,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={
                **{name: value for name, value in os.environ.items() if name != "DEVPOD_RP_CLOUD"},
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "PYTHON_KEYRING_BACKEND": backend,
                "DRAWER": str(self.drawer),
                "RUNPOD_API_URL": self.cloud.url,
                **environ,
            },
            check=False,
        )
        assert self.key not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        answer = json.loads(done.stdout)
        assert done.returncode == answer.get("error", {}).get("code", 0)
        return answer

    @property
    def key(self) -> str:
        return self.cloud.token

    @property
    def drawer(self) -> Path:
        return self.home / "drawer"

    @property
    def config(self) -> Path:
        return self.home / "home" / "config"


@pytest.fixture
def person(cloud: LocalCloud, folder: Path) -> Person:
    return Person(folder.parent, folder, cloud)


def test_the_key_is_kept_in_the_keyring_and_nowhere_else(person: Person) -> None:
    answer = person.run("login", "--with-token", typed=f"{person.key}\n", backend=DRAWER)
    assert (answer["store"], answer["pods"], answer["warning"]) == ("keyring", 0, None)
    assert json.loads(person.drawer.read_text()) == {"devpod-rp/runpod-api-key": person.key}
    for path in person.config.rglob("*"):
        assert person.key not in path.read_text()
    assert person.run("gpus", backend=DRAWER)["simulated"] is False


def test_without_a_keyring_a_file_that_only_its_owner_reads_and_a_warning(person: Person) -> None:
    answer = person.run("login", "--with-token", typed=person.key)
    path = person.config / "api-key"
    assert (answer["store"], answer["where"]) == ("file", str(path))
    assert "no keyring can be used" in answer["warning"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().strip() == person.key
    assert person.run("gpus")["simulated"] is False


def test_a_keyring_that_takes_nothing_is_as_good_as_none(person: Person) -> None:
    person.drawer.write_text("locked")
    answer = person.run("login", "--with-token", typed=person.key, backend=DRAWER)
    assert answer["store"] == "file"
    assert "the drawer is locked" in answer["warning"]
    forgetful = person.run("login", "--with-token", typed=person.key, backend="keyring.backends.null.Keyring")
    assert forgetful["store"] == "file"


@pytest.mark.parametrize("wrong", ["rpa_WRONG", "two words"])
def test_a_key_that_the_cloud_refuses_is_not_stored(person: Person, wrong: str) -> None:
    person.run("login", "--with-token", typed=person.key)
    refused = person.run("login", "--with-token", typed=wrong)
    assert refused["error"]["code"] == ExitCode.AUTHENTICATION
    assert wrong not in json.dumps(refused)
    assert "devpod-rp login" not in refused["error"]["hint"], "that is what was just done"
    assert "console.runpod.io" in refused["error"]["hint"]
    assert (person.config / "api-key").read_text().strip() == person.key


def test_a_key_that_cannot_be_verified_is_not_stored(person: Person) -> None:
    refused = person.run("login", "--with-token", typed=person.key, RUNPOD_API_URL="http://127.0.0.1:9")
    assert refused["error"]["code"] == ExitCode.UNREACHABLE
    assert not person.config.exists()


def test_without_a_terminal_and_without_a_key_it_says_how(person: Person) -> None:
    for words in (("login",), ("login", "--with-token")):
        refused = person.run(*words)["error"]
        assert refused["code"] == ExitCode.USAGE
        assert "--with-token" in refused["hint"]


def test_logging_out_removes_the_key_from_wherever_it_is(person: Person) -> None:
    person.run("login", "--with-token", typed=person.key, backend=DRAWER)
    assert person.run("logout", backend=DRAWER) == {"removed": "keyring", "left": None}
    assert json.loads(person.drawer.read_text()) == {}
    person.run("login", "--with-token", typed=person.key)
    assert person.run("logout") == {"removed": "file", "left": None}
    assert list(person.config.iterdir()) == []
    assert person.run("logout")["removed"] is None
    assert person.run("gpus", "--cloud", "runpod")["error"]["code"] == ExitCode.AUTHENTICATION


def test_the_variable_goes_first_then_the_login_then_runpodctl(person: Person) -> None:
    other = person.home / ".runpod" / "config.toml"
    other.parent.mkdir()
    other.write_text("apikey = 'rpa_OLD'\napiurl = 'https://api.runpod.io/graphql'\n")
    assert person.run("gpus")["error"]["code"] == ExitCode.AUTHENTICATION
    person.run("login", "--with-token", typed=person.key)
    assert person.run("gpus")["simulated"] is False
    assert person.run("gpus", RUNPOD_API_KEY="rpa_WRONG")["error"]["code"] == ExitCode.AUTHENTICATION
    assert person.run("logout")["left"] == f"{other} has a key"


@pytest.mark.parametrize("text", ["apikey = '{}'\n", "[default]\napi_key = '{}'\n"])
def test_the_key_of_runpods_own_tools_is_used(person: Person, text: str) -> None:
    other = person.home / ".runpod" / "config.toml"
    other.parent.mkdir()
    other.write_text(text.format(person.key))
    assert person.run("gpus")["simulated"] is False


def test_a_keyring_that_lost_the_key_is_said_and_no_other_key_is_taken(person: Person) -> None:
    other = person.home / ".runpod" / "config.toml"
    other.parent.mkdir()
    other.write_text(f"apikey = '{person.key}'\n")
    person.run("login", "--with-token", typed=person.key, backend=DRAWER)
    person.drawer.unlink()
    refused = person.run("gpus", backend=DRAWER)["error"]
    assert refused["code"] == ExitCode.AUTHENTICATION
    assert "keyring" in refused["message"]
    assert "devpod-rp login" in refused["hint"]
