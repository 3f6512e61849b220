"""What this machine tells a pod's git: for the hosts that are named, what its own helpers know, and nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from devpod_rp.lifecycle.furnishing.git_credentials import answer

HELPER = '!f() { test "$1" = get && echo username=me && echo password=s3cr3t && echo quit=0; }; f'
HOSTS = ("git.example.org", "git.example.org:8443")


@pytest.fixture(autouse=True)
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A git of its own user, with a helper for any host."""
    config = tmp_path / "gitconfig"
    subprocess.run(["git", "config", "--file", str(config), "credential.helper", HELPER], check=True)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.mark.parametrize("host", HOSTS)
def test_a_named_host_gets_what_the_helpers_know(tmp_path: Path, host: str) -> None:
    found = answer({"protocol": "https", "host": host, "path": "me/project.git"}, HOSTS, tmp_path)
    assert found == {"username": "me", "password": "s3cr3t"}


@pytest.mark.parametrize(
    "question",
    [
        {"protocol": "https", "host": "elsewhere.example.org"},
        {"protocol": "https", "host": "git.example.org:9"},
        {"protocol": "http", "host": "git.example.org"},
        {"protocol": "ssh", "host": "git.example.org"},
        {"protocol": "https"},
        {"host": "git.example.org"},
        {},
        {"protocol": "https", "host": "git.example.org", "path": "x\nhost=elsewhere.example.org"},
        {"protocol": "https", "host": "git.example.org", "username": "a\0b"},
    ],
)
def test_nobody_else_gets_anything(tmp_path: Path, question: dict[str, str]) -> None:
    assert answer(question, HOSTS, tmp_path) == {}


def test_without_a_helper_that_knows_nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("SSH_ASKPASS", "/bin/echo")
    monkeypatch.setenv("GIT_ASKPASS", "/bin/echo")
    assert answer({"protocol": "https", "host": "git.example.org"}, HOSTS, tmp_path) == {}
