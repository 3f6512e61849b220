"""Records, intents, locks and the choice among environments, on a real disk with real processes."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devpod_rp import environments, paths
from devpod_rp.environments import (
    AmbiguousEnvironment,
    CorruptRecord,
    Environment,
    EnvironmentBusy,
    Intent,
    IntentPending,
    NoEnvironment,
    SshEndpoint,
    VolumeRecord,
)
from devpod_rp.errors import ExitCode, UsageError
from devpod_rp.progress import Event

Make = Callable[..., Environment]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEVPOD_RP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(name: str = "demo", folder: Path | None = None, **spec: object) -> Environment:
        return environments.create(
            name=name,
            cloud="local",
            api_url="http://127.0.0.1:1",
            folder=str(folder or tmp_path / name),
            workspace=f"/workspace/{name}",
            spec=spec,
            volume=VolumeRecord(kind="disk", id=None, size_gb=20, path="/workspace"),
        )

    return make


@pytest.fixture
def holder() -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts processes that hold the lock of an environment until they are ended."""
    started: list[subprocess.Popen[str]] = []

    def hold(name: str) -> subprocess.Popen[str]:
        code = (
            "import sys; sys.argv = ['devpod-rp', 'up', 'demo']\n"
            "from devpod_rp import environments\n"
            f"with environments.locked({name!r}):\n"
            "    print('held', flush=True); sys.stdin.read()\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        with process:
            process.kill()


def intent(environment: Environment) -> Intent:
    return Intent(
        "create", environment.id, environment.pod_name, {"candidate": "RTX 4090"}, "2026-01-01T00:00:00+00:00"
    )


# Records.


def test_what_was_saved_is_loaded(make: Make) -> None:
    environment = dataclasses.replace(
        make(env={"TOKEN": "secret"}, gpu=["RTX 4090"]),
        status="RUNNING",
        pod_id="p0d",
        ssh=SshEndpoint("203.0.113.7", 10022, "root"),
        host_key="ssh-ed25519 AAAA",
        gpu="NVIDIA GeForce RTX 4090",
        cost_per_hour=0.69,
    )
    environments.save(environment)
    assert environments.load("demo") == environment


def test_a_price_that_is_a_whole_number_is_still_a_price(make: Make) -> None:
    environments.save(dataclasses.replace(make(), cost_per_hour=1))
    assert environments.load("demo").cost_per_hour == 1.0


def test_ids_and_pod_names_are_unique(make: Make) -> None:
    one, two = make("one"), make("two")
    assert len(one.id) == 8
    assert one.id != two.id
    assert one.pod_name == f"devpod-one-{one.id}"
    assert one.host_alias == "one.devpod"


def test_secrets_of_the_spec_are_for_the_user_alone(make: Make) -> None:
    environment = make(env={"TOKEN": "hunter2"})
    assert "hunter2" not in repr(environment)
    assert environments.record_file("demo").stat().st_mode & 0o777 == 0o600
    assert paths.environment_dir("demo").stat().st_mode & 0o777 == 0o700


def test_saving_notes_the_time_without_making_another_record_of_it(make: Make) -> None:
    environment = make()
    saved = environments.save(dataclasses.replace(environment, updated_at="long ago"))
    assert saved == environment
    assert environments.load("demo").updated_at == saved.updated_at != "long ago"


def test_a_name_is_given_once(make: Make) -> None:
    make()
    with pytest.raises(UsageError, match="exists already"):
        make()


@pytest.mark.parametrize("name", ["", ".hidden", "../outside", "a/b", "a\\b", "nul\0"])
def test_a_name_never_leads_out_of_our_directory(make: Make, name: str) -> None:
    assert environments.find(name) is None
    with pytest.raises(NoEnvironment):
        environments.load(name)
    with pytest.raises(UsageError):
        make(name)
    with pytest.raises(UsageError), environments.locked(name):
        pass


def test_an_unknown_name_lists_the_known_ones(make: Make) -> None:
    make("one")
    make("two")
    with pytest.raises(NoEnvironment) as caught:
        environments.load("three")
    assert caught.value.hint == "there are: one, two"
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda _record: "{", "cannot be read"),
        (lambda _record: "[]", "no JSON object"),
        (lambda record: json.dumps({**record, "format": None}), '"format" is None'),
        (lambda record: json.dumps({**record, "ssh": {"host": "h", "port": "22", "user": "u"}}), '"ssh.port" is str'),
        (lambda record: json.dumps({key: record[key] for key in record if key != "id"}), '"id" is NoneType'),
    ],
    ids=["torn", "not an object", "no version", "wrong type", "missing key"],
)
def test_a_damaged_record_is_an_error_that_names_the_file_and_is_never_left_out(
    make: Make, damage: Callable[[dict[str, object]], str], complaint: str
) -> None:
    make("fine")
    make("demo")
    file = environments.record_file("demo")
    file.write_text(damage(json.loads(file.read_text())))
    for look in (lambda: environments.load("demo"), environments.all_environments):
        with pytest.raises(CorruptRecord, match=complaint) as caught:
            look()
        assert str(file) in caught.value.message
        assert "devpod-demo-" in str(caught.value.hint)
        assert caught.value.exit_code is ExitCode.CONFIGURATION


def test_a_record_of_a_newer_version_asks_for_an_upgrade(make: Make) -> None:
    make()
    file = environments.record_file("demo")
    file.write_text(file.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(CorruptRecord, match="has format 2") as caught:
        environments.load("demo")
    assert "upgrade" in str(caught.value.hint)


def test_a_process_killed_while_it_writes_leaves_a_whole_record(make: Make) -> None:
    environment = make()
    code = (
        "import dataclasses, itertools\n"
        "from devpod_rp import environments\n"
        "record = environments.load('demo')\n"
        "for number in itertools.count():\n"
        "    environments.save(dataclasses.replace(record, pod_id=str(number) * 5000))\n"
        "    print(number, flush=True)\n"
    )
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "0\n"
            writer.kill()
        assert environments.load("demo").id == environment.id


def test_environments_are_listed_by_name_and_their_trash_and_locks_are_none(make: Make) -> None:
    make("two")
    make("one")
    make("gone")
    with environments.locked("one"):
        environments.remove("gone")
        assert [each.name for each in environments.all_environments()] == ["one", "two"]


def test_a_removed_environment_leaves_nothing(make: Make) -> None:
    make()
    (paths.environment_dir("demo") / "sync").mkdir()
    (paths.environment_dir("demo") / "sync" / "journal").write_text("x")
    environments.remove("demo")
    assert environments.find("demo") is None
    assert list(paths.environments_dir().iterdir()) == []
    environments.remove("demo")


def test_what_a_crash_left_half_deleted_is_deleted_by_the_next_removal(make: Make) -> None:
    make()
    half = paths.environments_dir() / ".removed-old-12345678"
    half.mkdir()
    (half / "environment.json").write_text("{}")
    environments.remove("demo")
    assert not half.exists()


# Intents.


def test_an_intent_lives_from_before_the_call_until_the_record_knows(make: Make) -> None:
    environment = make()
    environments.write_intent("demo", intent(environment))
    assert environments.read_intent("demo") == intent(environment)
    assert environments.all_intents() == {"demo": intent(environment)}
    environments.save(dataclasses.replace(environment, pod_id="p0d"))
    environments.clear_intent("demo")
    assert environments.read_intent("demo") is None
    assert environments.all_intents() == {}
    environments.clear_intent("demo")


def test_an_intent_survives_the_loss_of_the_record(make: Make) -> None:
    environment = make()
    environments.write_intent("demo", intent(environment))
    environments.record_file("demo").unlink()
    assert environments.all_environments() == []
    assert environments.all_intents() == {"demo": intent(environment)}


def test_an_environment_with_an_open_intent_is_not_forgotten(make: Make) -> None:
    environment = make()
    environments.write_intent("demo", intent(environment))
    with pytest.raises(IntentPending):
        environments.remove("demo")
    assert environments.load("demo") == environment


def test_a_torn_intent_is_an_error_that_names_the_file(make: Make) -> None:
    make()
    file = paths.environment_dir("demo") / "intent.json"
    file.write_text("{")
    with pytest.raises(CorruptRecord) as caught:
        environments.all_intents()
    assert str(file) in caught.value.message


# Choosing.


def test_a_name_decides(make: Make, tmp_path: Path) -> None:
    make("one")
    two = make("two")
    assert environments.pick("two", tmp_path / "one") == two


def test_without_a_name_the_folder_decides_and_the_nearest_parent_counts(make: Make, tmp_path: Path) -> None:
    outer = make("outer", tmp_path / "work")
    inner = make("inner", tmp_path / "work" / "inner")
    assert environments.pick(None, tmp_path / "work" / "inner" / "src") == inner
    assert environments.pick(None, tmp_path / "work" / "other") == outer
    assert environments.for_folder(tmp_path / "work") == [outer]


def test_a_folder_is_known_by_every_name_it_has(make: Make, tmp_path: Path) -> None:
    make("other")
    environment = make("demo", tmp_path / "real")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert environments.pick(None, tmp_path / "link") == environment
    assert environments.for_folder(tmp_path / "link") == [environment]


def test_a_folder_whose_name_begins_like_another_is_not_inside_it(make: Make, tmp_path: Path) -> None:
    make("app", tmp_path / "app")
    make("other", tmp_path / "other")
    with pytest.raises(AmbiguousEnvironment):
        environments.pick(None, tmp_path / "app-two")


def test_the_only_environment_needs_no_name_anywhere(make: Make, tmp_path: Path) -> None:
    only = make("only", tmp_path / "elsewhere")
    assert environments.pick(None, tmp_path / "here") == only


def test_several_that_fit_are_offered_for_choice(make: Make, tmp_path: Path) -> None:
    one, two = make("one", tmp_path / "same"), make("two", tmp_path / "same")
    make("three", tmp_path / "other")
    with pytest.raises(AmbiguousEnvironment, match="one, two") as caught:
        environments.pick(None, tmp_path / "same")
    assert caught.value.candidates == (one, two)
    assert caught.value.exit_code is ExitCode.USAGE


def test_with_no_environment_at_all_the_hint_is_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NoEnvironment) as caught:
        environments.pick(None, tmp_path)
    assert "devpod-rp up" in str(caught.value.hint)


# Locks.


def test_a_second_command_learns_who_holds_the_environment(holder: Callable[[str], subprocess.Popen[str]]) -> None:
    process = holder("demo")
    told: list[Event] = []
    with (
        pytest.raises(EnvironmentBusy) as caught,
        environments.locked("demo", timeout_seconds=0.2, progress=told.append),
    ):
        pass
    assert caught.value.message == f"demo is in use by 'devpod-rp up demo' (process {process.pid})."
    assert [event.message for event in told] == [
        f"Waiting for 'devpod-rp up demo' (process {process.pid}) to finish with demo"
    ]


def test_a_lock_is_free_when_its_holder_was_killed(holder: Callable[[str], subprocess.Popen[str]]) -> None:
    process = holder("demo")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with environments.locked("demo", timeout_seconds=0):
        assert environments.holder_of("demo") == environments.Holder(os.getpid(), environments.lock._command())
    assert environments.holder_of("demo") is None


def test_a_waiting_command_goes_on_as_soon_as_the_first_is_done(
    holder: Callable[[str], subprocess.Popen[str]],
) -> None:
    process = holder("demo")

    def release(_event: Event) -> None:
        assert process.stdin is not None
        process.stdin.close()

    with environments.locked("demo", timeout_seconds=10, progress=release):
        pass


def test_environments_do_not_lock_each_other(holder: Callable[[str], subprocess.Popen[str]]) -> None:
    holder("one")
    with environments.locked("two", timeout_seconds=0):
        pass


def test_the_lock_holds_while_the_environment_is_removed_under_it(make: Make) -> None:
    make()
    with environments.locked("demo"):
        environments.remove("demo")
        with pytest.raises(EnvironmentBusy), environments.locked("demo", timeout_seconds=0):
            pass


def test_threads_exclude_each_other_too() -> None:
    inside = threading.Event()
    done = threading.Event()

    def hold() -> None:
        with environments.locked("demo"):
            inside.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(10)
    with pytest.raises(EnvironmentBusy), environments.locked("demo", timeout_seconds=0):
        pass
    done.set()
    thread.join()
