"""``init`` asks a person what their pod should look like, and writes it down."""

from __future__ import annotations

import pytest

from devpod_rp.spec.toml_file import read_toml
from tests.end_to_end.conftest import World
from tests.end_to_end.terminal import DOWN, ENTER, Terminal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def test_at_a_terminal_it_asks_and_what_it_writes_is_what_up_plans(world: World) -> None:
    (world.folder / "requirements.txt").write_text("torch\n")
    with Terminal(world, "init") as terminal:
        terminal.sees(r"Found requirements.txt \(a GPU library\)", "Which template", "pytorch")
        terminal.types(ENTER)
        terminal.sees("Which GPU", r"\$\d+\.\d\d/h", "stock", "simulated")
        terminal.types(ENTER)
        terminal.sees("How large is the volume", r"50 GB  \$10.00 a month")
        terminal.types(DOWN, ENTER)
        terminal.sees("Which way are files synchronised", "two-way-safe")
        terminal.types(DOWN, ENTER)
        terminal.sees("nothing has used it for so long", "30m", "never")
        terminal.types(ENTER)
        terminal.sees("pip install -r requirements.txt")
        terminal.types("y")
        terminal.sees("Wrote .*devpod-rp.toml")
    written = read_toml(world.folder / "devpod-rp.toml")
    assert written["template"] == "pytorch"
    assert (written["volume"]["size_gb"], written["sync"]["mode"]) == (100, "two-way-safe")
    assert written["idle_stop"] == "30m"
    assert written["hooks"] == {"update_content": ["pip install -r requirements.txt"]}
    assert world.run("up", "--dry-run", "--json").json["volume"]["size_gb"] == 100


def test_what_is_there_is_written_over_only_after_a_yes(world: World) -> None:
    own = world.folder / "devpod-rp.toml"
    own.write_text("# precious\n")
    refused = world.run("init", "--json")
    assert (refused.exit_code, refused.json["error"]["kind"]) == (3, "configuration")
    assert "--force" in refused.json["error"]["hint"]
    with Terminal(world, "init") as terminal:
        terminal.sees("exists already. Write it anew")
        terminal.types("n")
        terminal.sees("Nothing was written")
    assert own.read_text() == "# precious\n"


def test_without_a_terminal_it_takes_what_fits_the_folder(world: World) -> None:
    (world.folder / "requirements.txt").unlink(missing_ok=True)
    (world.folder / "package.json").write_text("{}")
    written = world.run("init", "--force", "--json").json
    assert (written["values"]["template"], written["found"]["install"]) == ("cpu", ["npm install"])
    assert "hooks" not in written["values"], "what is to run on a pod is asked for, or said by the user"


def test_a_template_of_one_s_own_is_made_here_and_used_there(world: World) -> None:
    (world.folder / "devpod-rp.toml").write_text('gpu = ["RTX 4090"]\ncontainer_disk_gb = 33\n')
    made = world.run("templates", "new", "mine", "--description", "thirty-three", "--json").json
    assert made["name"] == "mine"
    assert [each for each in world.run("templates", "list", "--json").json["templates"] if not each["builtin"]] == [
        {"name": "mine", "description": "thirty-three", "builtin": False}
    ]
    again = world.run("templates", "new", "mine")
    assert again.exit_code == 3
    assert "--force" in again.stderr
