"""Promises that hold for every command there is, found by walking the command tree."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devpod_rp.cli.app import COMMANDS, root
from devpod_rp.errors import ExitCode
from tests.cli.conftest import Run


def commands(group: click.Group = root, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that call it, groups before what is in them."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        yield (*path, name), found
        if isinstance(found, click.Group):
            yield from commands(found, (*path, name))


ALL = dict(commands())
LEAVES = [path for path, found in ALL.items() if not isinstance(found, click.Group)]


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_is_there(command: Run, path: tuple[str, ...]) -> None:
    shown = command(*path, "--help")
    assert shown.code == 0
    assert shown.stdout.startswith(f"Usage: devpod-rp {' '.join(path)}")
    assert shown.stderr == ""


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_and_command_says_what_it_does(path: tuple[str, ...]) -> None:
    found = ALL[path]
    assert found.help, "no help text"
    for parameter in found.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{parameter.opts[0]} has no help text"


def test_the_overview_names_every_command(command: Run) -> None:
    shown = command("--help").stdout
    for name, (_, line) in COMMANDS.items():
        assert name in shown
        assert line.split(",")[0][:30] in shown


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_speaks_json(path: tuple[str, ...]) -> None:
    assert any("--json" in parameter.opts for parameter in ALL[path].params)


# What `ssh` does not know belongs to the command that it runs on the pod.
@pytest.mark.parametrize("path", [path for path in LEAVES if path != ("ssh",)], ids=" ".join)
def test_an_unknown_flag_is_a_usage_error_that_points_to_the_help(command: Run, path: tuple[str, ...]) -> None:
    refused = command(*path, "--json", "--no-such-flag")
    assert refused.code == ExitCode.USAGE
    error = refused.json["error"]
    assert "--no-such-flag" in error["message"]
    assert error["hint"] == f"devpod-rp {' '.join(path)} --help"
    assert refused.stderr == ""


def test_a_mistyped_command_is_a_usage_error(command: Run) -> None:
    refused = command("stpo")
    assert refused.code == ExitCode.USAGE
    assert "stpo" in refused.stderr
    assert refused.stdout == ""


# What needs no cloud, so that garbage costs nothing; words after the name are what a slip of the hand may give it.
_OFFLINE = [
    ("status",),
    ("stop",),
    ("check",),
    ("rescue",),
    ("delete",),
    ("sync", "status"),
    ("sync", "flush"),
    ("logs",),
]
_WORDS = st.one_of(
    st.sampled_from(
        ["--json", "--yes", "--force", "-h", "--", "", "-", "..", "/", "a/b", "*", "--name=x", "nothing-here"]
    ),
    st.text(max_size=12),
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(_OFFLINE), words=st.lists(_WORDS, max_size=4))
def test_garbage_is_refused_in_words(command: Run, path: tuple[str, ...], words: list[str]) -> None:
    given_words = [word.replace("\0", "") for word in words]
    outcome = command(*path, "--json", *given_words)
    assert outcome.code in set(ExitCode) - {ExitCode.UNEXPECTED}
    assert "Traceback" not in outcome.stdout + outcome.stderr
    if outcome.code:
        assert outcome.json["error"]["code"] == outcome.code
