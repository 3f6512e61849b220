"""Before a folder travels for the first time its user learns what it weighs, and can leave things here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.end_to_end.conftest import World
from tests.end_to_end.terminal import ENTER, SPACE, Terminal

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def heavy(world: World) -> Iterator[World]:
    data = world.folder / "data" / "raw"
    data.mkdir(parents=True)
    with (data / "images.bin").open("wb") as file:
        file.truncate(150_000_000)
    (world.folder / ".env").write_text("TOKEN=1\n")
    yield world
    world.run("delete", "--yes", "--force")


def test_the_plan_names_size_heaviest_parts_and_secrets_and_touches_nothing(heavy: World) -> None:
    plan = heavy.run("up", "--dry-run", "--json").json["first_upload"]
    assert plan["heaviest"][0] == {"path": "data/raw/images.bin", "files": 1, "bytes": 150_000_000}
    assert plan["secrets"] == [".env"]
    assert plan["bytes"] > 150_000_000
    said = heavy.run("up", "--dry-run").stderr
    assert "data/raw/images.bin 150 MB" in said
    assert ".env" in said
    assert not (heavy.folder / ".devpodignore").exists()


def test_at_a_terminal_what_is_marked_stays_here(heavy: World) -> None:
    with Terminal(heavy, "up", "--gpu", "4090") as terminal:
        terminal.sees("What of this folder should stay here", "images.bin", "looks like a secret")
        terminal.types(SPACE, "\x1b[B", SPACE, ENTER)
        terminal.sees("leaves out: data/raw/images.bin, .env", "Start it for")
        terminal.types("y", ENTER)
        terminal.sees("is running on")
    assert (heavy.folder / ".devpodignore").read_text() == "/data/raw/images.bin\n/.env\n"
    assert heavy.ssh("cd /workspace/proj && ls -A data/raw .env").stdout.split() == ["data/raw:"]
    assert heavy.ssh("ls /workspace/proj/train.py").exit_code == 0


def test_once_it_was_synchronised_nothing_is_asked_again(heavy: World) -> None:
    assert heavy.run("up", "--dry-run", "--json").json["first_upload"] is None
