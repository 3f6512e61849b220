"""``config show``: what counts in a folder, each value with the place that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run

SECRET = "hf_THISISSECRET"


@pytest.fixture
def layered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose configuration has every layer that is not a flag."""
    home = folder.parent / "home" / "config"
    (home / "templates").mkdir(parents=True)
    (home / "config.toml").write_text('template = "mine"\ntier = "any"\n')
    (home / "templates" / "mine.toml").write_text('image = "x:1"\ngpu = ["L4"]\ncontainer_disk_gb = 20\n')
    (folder / "devpod-rp.toml").write_text(f'name = "proj"\n\n[env]\nHF_TOKEN = "{SECRET}"\n[volume]\nsize_gb = 70\n')
    monkeypatch.setenv("DEVPOD_RP_MAX_PRICE", "1.5")
    return folder


def test_every_value_names_its_source(layered: Path, command: Run) -> None:
    values = command("config", "show", "--json").json["values"]
    home, own = layered.parent / "home" / "config", layered / "devpod-rp.toml"
    expected = {
        "name": ("proj", "devpod-rp.toml", f"{own}:1"),
        "cloud": ("local", "whether there is an API key", None),
        "template": ("mine", "user defaults", f"{home / 'config.toml'}:1"),
        "image": ("x:1", "template mine", f"{home / 'templates' / 'mine.toml'}:1"),
        "tier": ("any", "user defaults", f"{home / 'config.toml'}:2"),
        "max_price": (1.5, "environment variable", "DEVPOD_RP_MAX_PRICE"),
        "volume.size_gb": (70, "devpod-rp.toml", f"{own}:6"),
        "gpu_count": (1, "built-in default", None),
    }
    for key, (value, source, where) in expected.items():
        assert values[key] == {"value": value, "source": source, "where": where}, key


def test_a_person_reads_the_same(layered: Path, command: Run) -> None:
    lines = command("config", "show").stdout.splitlines()
    size = next(line for line in lines if line.startswith("volume.size_gb"))
    assert size.split(maxsplit=2) == ["volume.size_gb", "70", f"devpod-rp.toml  {layered / 'devpod-rp.toml'}:6"]


def test_values_of_variables_are_not_shown(layered: Path, command: Run) -> None:
    for shown in (command("config", "show"), command("config", "show", "--json")):
        assert SECRET not in shown.stdout + shown.stderr
        assert "env.HF_TOKEN" in shown.stdout


def test_the_table_in_pyproject_is_named_as_such(folder: Path, command: Run) -> None:
    (folder / "pyproject.toml").write_text('[project]\nname = "x"\n\n[tool.devpod-rp]\ngpu = ["A40"]\n')
    found = command("config", "show", "--json").json["values"]["gpu"]
    assert found == {
        "value": ["A40"],
        "source": "[tool.devpod-rp] in pyproject.toml",
        "where": f"{folder / 'pyproject.toml'}:5",
    }


@pytest.mark.parametrize(
    "text, complaint",
    [
        ('container_disk_gb = "50"\n', "container_disk_gb is a number, without quotes"),
        ("gpu_count = true\n", "gpu_count is a number, without quotes"),
        ('sync = { enabled = "yes" }\n', "sync.enabled is true or false, without quotes"),
        ("name = 5\n", "name is text, in quotes"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_its_line(
    folder: Path, command: Run, text: str, complaint: str
) -> None:
    (folder / "devpod-rp.toml").write_text(f"# mine\n{text}")
    error = command("config", "show", "--json").json["error"]
    assert error["message"] == f"{folder / 'devpod-rp.toml'}:2: {complaint}."
