"""Whatever is typed or written into a file: one answer, a documented exit code, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devpod_rp.cli.app import run
from devpod_rp.errors import ExitCode
from devpod_rp.spec.model import field_names
from tests.cli.test_every_command import ALL, LEAVES

pytestmark = pytest.mark.slow
relaxed = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
WORDS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0") | st.integers(0xDC80, 0xDCFF).map(chr), max_size=12
)
# These end or start the server that the other examples talk to.
LEFT_OUT = {("local", "stop"), ("local", "start")}
OPTIONS = sorted({name for found in ALL.values() for each in found.params for name in each.opts if name[0] == "-"})
DOCUMENTED = set(ExitCode) - {ExitCode.UNEXPECTED}


def answer(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    capsys.readouterr()
    exit_code = run(arguments)
    told = capsys.readouterr()
    assert "Traceback" not in told.err + told.out
    return exit_code, told.out, told.err


@relaxed
@given(
    words=st.sampled_from(sorted(set(LEAVES) - LEFT_OUT)),
    garbage=st.lists(WORDS | st.sampled_from(OPTIONS), max_size=5),
)
def test_garbage_on_the_command_line(words, garbage: list[str], cloud, folder: Path, capsys) -> None:
    (folder / "devpod-rp.toml").unlink(missing_ok=True)
    safely = ["--dry-run"] if words == ("up",) else []
    exit_code, stdout, _ = answer([*words, "--json", *safely, *garbage], capsys)
    if "--help" in garbage or "-h" in garbage:
        return
    assert exit_code in DOCUMENTED, stdout
    document = json.loads(stdout)
    assert exit_code == document.get("error", {}).get("code", exit_code)


KEYS = [name for name, inner in field_names().items() if not inner]
TABLES = {name: inner for name, inner in field_names().items() if inner}
SCALARS = st.none().flatmap(
    lambda _: (
        st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats()
        | st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=12)
        | st.sampled_from(
            ["disk", "network", "none", "any", "any>=24GB", "RTX 4090", "cpu3c", "two-way-safe", "/workspace/a"]
        )
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "size_gb"]), inner, max_size=2),
    max_leaves=4,
)


def _tables() -> st.SearchStrategy[dict[str, Any]]:
    tables = {
        name: st.dictionaries(st.sampled_from(inner), VALUES, max_size=3) | VALUES for name, inner in TABLES.items()
    }
    return st.fixed_dictionaries({}, optional={**dict.fromkeys([*KEYS, "name", "cloud"], VALUES), **tables})


@relaxed
@given(values=_tables())
def test_any_values_in_the_toml(values: dict[str, Any], cloud, folder: Path, capsys) -> None:
    (folder / "devpod-rp.toml").write_text(tomlkit.dumps(values), encoding="utf-8")
    values.pop("cloud", None)
    exit_code, stdout, _ = answer(["up", "--dry-run", "--json", "--cloud", "local"], capsys)
    assert exit_code in DOCUMENTED, stdout
    if exit_code == ExitCode.CONFIGURATION:
        assert json.loads(stdout)["error"]["hint"]


@relaxed
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_in_the_toml(content: bytes, cloud, folder: Path, capsys) -> None:
    (folder / "devpod-rp.toml").write_bytes(content)
    exit_code, stdout, _ = answer(["up", "--dry-run", "--json"], capsys)
    assert exit_code in DOCUMENTED, stdout


@relaxed
@given(content=st.binary(max_size=60) | st.sampled_from([b"{}", b"[]", b"null", b'{"name": 1}', b'{"name": "proj"}']))
def test_any_bytes_in_a_record(content: bytes, cloud, folder: Path, capsys) -> None:
    from devpod_rp import paths

    record = paths.environment_dir("proj") / "environment.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_bytes(content)
    for words in (["list"], ["status", "proj"], ["up", "--dry-run"], ["stop", "proj"]):
        exit_code, stdout, _ = answer([*words, "--json"], capsys)
        assert exit_code == ExitCode.CONFIGURATION, (words, stdout)
        assert str(record) in json.loads(stdout)["error"]["message"]
