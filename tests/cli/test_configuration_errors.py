"""What is wrong in a file is said with the file, the line and the way out, before anything is asked of a cloud."""

from __future__ import annotations

from pathlib import Path

import pytest

from devpod_rp.errors import ExitCode
from tests.cli.conftest import Run

WRONG = {
    'gpuu = ["4090"]\n': ("devpod-rp.toml:1", "did you mean gpu?"),
    'name = "ok"\ngpu_count = "two"\n': ("devpod-rp.toml:2", None),
    '[volume]\nkind = "floppy"\n': ("devpod-rp.toml:2", None),
    "[volume]\nsize = 20\n": ("devpod-rp.toml:2", "did you mean volume.size_gb?"),
    'gpu = ["4090"\n': ("devpod-rp.toml", None),
    '[sync]\nmode = "two-ways-safe"\n': ("devpod-rp.toml:2", None),
    'workspace = "relative/path"\n': ("devpod-rp.toml:1", None),
    'ports = ["22"]\n': ("devpod-rp.toml:1", None),
    "env = { A = 1 }\n": ("devpod-rp.toml:1", None),
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text.strip().replace("\n", " "))
def test_the_line_is_named(command: Run, folder: Path, text: str) -> None:
    where, hint = WRONG[text]
    (folder / "devpod-rp.toml").write_text(text)
    refused = command("up", "--yes", "--json")
    assert refused.code == ExitCode.CONFIGURATION
    assert where in refused.json["error"]["message"]
    if hint:
        assert refused.json["error"]["hint"] == hint
    told = command("up", "--yes").stderr
    assert told.startswith("error: ")
    assert where in told


@pytest.mark.parametrize("content", [b"\xff\xfe", b"name = \x00", b"\x80abc"])
def test_a_file_that_is_no_text_is_refused_in_words(command: Run, folder: Path, content: bytes) -> None:
    (folder / "devpod-rp.toml").write_bytes(content)
    refused = command("up", "--yes", "--json")
    assert refused.code == ExitCode.CONFIGURATION
    assert "devpod-rp.toml" in refused.json["error"]["message"]


def test_a_configuration_that_is_a_folder_is_refused_in_words(command: Run, folder: Path) -> None:
    (folder / "devpod-rp.toml").mkdir()
    refused = command("up", "--yes", "--json")
    assert refused.code == ExitCode.CONFIGURATION
    assert "devpod-rp.toml" in refused.json["error"]["message"]


def test_a_damaged_record_names_its_file_and_is_not_dropped(command: Run, folder: Path, tmp_path: Path) -> None:
    record = tmp_path / "home" / "state" / "environments" / "mine" / "environment.json"
    record.parent.mkdir(parents=True)
    record.write_text('{"name": "mine", "pod_id": "a')
    for words in (("list",), ("status", "mine"), ("stop", "mine"), ("delete", "mine", "--yes")):
        refused = command(*words, "--json")
        assert refused.code == ExitCode.CONFIGURATION, words
        assert str(record) in refused.json["error"]["message"]
    assert record.exists()


@pytest.mark.parametrize(
    "words", [("status",), ("stop",), ("check",), ("ssh",), ("sync", "flush"), ("open",), ("logs",)]
)
def test_without_an_environment_the_way_to_one_is_shown(command: Run, words: tuple[str, ...]) -> None:
    refused = command(*words, "--json")
    assert refused.code == ExitCode.USAGE
    assert "up" in refused.json["error"]["hint"]


def test_a_misspelt_environment_is_named(command: Run, folder: Path) -> None:
    refused = command("stop", "nothing-here", "--json")
    assert refused.code == ExitCode.USAGE
    assert "nothing-here" in refused.json["error"]["message"]
