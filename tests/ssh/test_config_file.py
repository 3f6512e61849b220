"""The user's SSH configuration: one Include of ours, and every other byte as it was."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devpod_rp import paths
from devpod_rp.errors import ConfigurationError
from devpod_rp.ssh import config_file
from devpod_rp.ssh.config_file import HostEntry, NotWritableError, Outcome
from devpod_rp.ssh.connection import Address
from devpod_rp.ssh.include_line import COMMENT, with_include, without_include

BOM = b"\xef\xbb\xbf"
OWN_FILE = b" (this file was made for them)"
MARKED = b" (OpenSSH refuses the byte order mark that was here)"


def entry(name: str, **changes: object) -> HostEntry:
    values: dict[str, object] = {
        "alias": f"{name}.devpod",
        "address": Address("203.0.113.7", 22017),
        "identity": paths.ssh_identity(),
        "known_hosts": paths.known_hosts_file(name),
        "host_key_alias": f"devpod_rp-{name}",
    }
    return HostEntry(**{**values, **changes})  # type: ignore[arg-type]


def resolved(host: str, file: Path) -> dict[str, str]:
    """What OpenSSH makes of *host* with the configuration *file*."""
    ended = subprocess.run(["ssh", "-G", "-F", str(file), host], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return dict(line.split(" ", 1) for line in ended.stdout.splitlines() if " " in line)


def user_file(content: bytes | None = None) -> Path:
    path = paths.user_ssh_config()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if content is not None:
        path.write_bytes(content)
    return path


def ours(newline: bytes = b"\n", note: bytes = b"") -> bytes:
    return COMMENT + note + newline + config_file.include_line().encode() + newline


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestOurHosts:
    def test_ssh_resolves_a_host_to_what_was_asked_for(self) -> None:
        config_file.write_hosts([entry("demo"), entry("other", address=Address("198.51.100.9", 40022, "dev"))])
        config_file.ensure_include()
        seen = resolved("demo.devpod", paths.user_ssh_config())
        expected = {
            "hostname": "203.0.113.7",
            "port": "22017",
            "user": "root",
            "identityfile": str(paths.ssh_identity()),
            "identitiesonly": "yes",
            "hostkeyalias": "devpod_rp-demo",
            "userknownhostsfile": str(paths.known_hosts_file("demo")),
            "stricthostkeychecking": "true",
            "checkhostip": "no",
            "serveraliveinterval": "15",
            "serveralivecountmax": "4",
            "forwardagent": "no",
            "controlmaster": "false",
            "requesttty": "auto",
        }
        assert {key: seen.get(key) for key in expected} == expected
        assert resolved("other.devpod", paths.user_ssh_config())["port"] == "40022"

    def test_an_ipv6_address_and_the_users_own_additions_work(self) -> None:
        config_file.write_hosts([entry("demo", address=Address("2001:db8::1", 22))])
        user_file(b"Host demo.devpod\n  ForwardAgent yes\n  Port 1\n")
        config_file.ensure_include()
        seen = resolved("demo.devpod", paths.user_ssh_config())
        assert (seen["hostname"], seen["port"], seen["forwardagent"]) == ("2001:db8::1", "22", "yes")

    def test_keywords_are_written_as_editors_expect_them(self) -> None:
        config_file.write_hosts([entry("demo")])
        lines = [line.split() for line in paths.ssh_hosts_file().read_text().splitlines() if not line.startswith("#")]
        assert [line[0] for line in lines if line] == [
            "Host", "HostName", "Port", "User", "IdentityFile", "IdentitiesOnly", "HostKeyAlias",
            "UserKnownHostsFile", "StrictHostKeyChecking", "CheckHostIP", "ServerAliveInterval", "ServerAliveCountMax",
        ]  # fmt: skip

    def test_the_file_is_private_and_written_whole(self) -> None:
        config_file.write_hosts([entry("one"), entry("two")])
        assert (mode(paths.ssh_hosts_file()), mode(paths.ssh_dir())) == (0o600, 0o700)
        config_file.write_hosts([entry("two")])
        text = paths.ssh_hosts_file().read_text()
        assert "one.devpod" not in text
        assert "two.devpod" in text

    def test_a_stopped_environment_stays_listed_and_says_so(self) -> None:
        config_file.write_hosts([entry("demo", stopped=True)])
        config_file.ensure_include()
        assert resolved("demo.devpod", paths.user_ssh_config())["port"] == "22017"
        assert "# demo.devpod is stopped" in paths.ssh_hosts_file().read_text()

    @pytest.mark.parametrize("folder", ["with space", "o'brien", "50%", "comma,plus+", "ünï", "hash # tag"])
    def test_paths_survive_their_special_characters(self, tmp_path: Path, folder: str) -> None:
        identity, known = tmp_path / folder / "id", tmp_path / folder / "known"
        config_file.write_hosts([entry("demo", identity=identity, known_hosts=known)])
        seen = resolved("demo.devpod", paths.ssh_hosts_file())
        assert seen["userknownhostsfile"].strip('"').replace("%%", "%") == str(known)
        assert seen["identityfile"].strip('"').replace("%%", "%") == str(identity)

    @pytest.mark.parametrize(
        "changes",
        [
            {"address": Address("evil\n  ProxyCommand touch /tmp/x", 22)},
            {"address": Address("-oProxyCommand=x", 22)},
            {"address": Address("host", 22, "root\nHost *")},
            {"alias": "Upper.devpod"},
            {"alias": "a b"},
            {"identity": Path('/x"y')},
            {"identity": Path("/x\ny")},
            {"identity": Path("/${HOME}/id")},
        ],
    )
    def test_values_that_would_break_the_file_are_refused(self, changes: dict[str, object]) -> None:
        config_file.write_hosts([entry("before")])
        with pytest.raises(ConfigurationError):
            config_file.write_hosts([entry("demo", **changes)])
        assert "before.devpod" in paths.ssh_hosts_file().read_text()

    def test_paths_under_the_home_of_the_user_database_are_written_with_a_tilde(self) -> None:
        import pwd

        home = Path(pwd.getpwuid(os.getuid()).pw_dir)
        config_file.write_hosts([entry("demo", identity=home / ".ssh" / "devpod_rp" / "id")])
        assert "IdentityFile ~/.ssh/devpod_rp/id\n" in paths.ssh_hosts_file().read_text()

    def test_home_in_the_environment_does_not_count(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        assert config_file.include_line() == f"Include {paths.ssh_hosts_file()}"


class TestTheUsersFile:
    def test_missing_it_is_made_private(self) -> None:
        assert config_file.ensure_include() is Outcome.CREATED
        path = paths.user_ssh_config()
        assert path.read_bytes() == ours(note=OWN_FILE)
        assert (mode(path), mode(path.parent)) == (0o600, 0o700)
        assert config_file.remove_include() is Outcome.REMOVED
        assert not path.exists()

    def test_a_file_made_for_us_that_the_user_then_wrote_into_stays(self) -> None:
        config_file.ensure_include()
        path = paths.user_ssh_config()
        path.write_bytes(path.read_bytes() + b"Host mine\n")
        config_file.remove_include()
        assert path.read_bytes() == b"Host mine\n"

    def test_a_huge_file_is_kept_whole(self) -> None:
        huge = b"".join(b"Host h%d\n  HostName 192.0.2.1\n" % number for number in range(60_000))
        path = user_file(huge)
        config_file.ensure_include()
        assert path.read_bytes() == ours() + huge
        config_file.remove_include()
        assert path.read_bytes() == huge

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (b"", ours),
            (b"Host a\n  Port 1\n", lambda: ours() + b"Host a\n  Port 1\n"),
            (b"Host a\n  Port 1", lambda: ours() + b"Host a\n  Port 1"),
            (b"Host a\r\n  Port 1\r\n", lambda: ours(b"\r\n") + b"Host a\r\n  Port 1\r\n"),
            (BOM + b"Host a\n", lambda: ours(note=MARKED) + b"Host a\n"),
            (b"\n\n# mine\nHost a\n", lambda: ours() + b"\n\n# mine\nHost a\n"),
            (b"# caf\xe9 \xff\x00\nHost a\n", lambda: ours() + b"# caf\xe9 \xff\x00\nHost a\n"),
        ],
        ids=["empty", "plain", "no final newline", "CRLF", "BOM", "blank lines", "not UTF-8"],
    )
    def test_our_lines_come_first_and_the_rest_is_untouched(self, before: bytes, after: object) -> None:
        path = user_file(before)
        assert config_file.ensure_include() is Outcome.ADDED
        assert path.read_bytes() == after()  # type: ignore[operator]
        assert config_file.ensure_include() is Outcome.UNCHANGED
        assert config_file.remove_include() is Outcome.REMOVED
        assert path.read_bytes() == before
        assert config_file.remove_include() is Outcome.UNCHANGED

    def test_nothing_is_written_when_nothing_changes(self) -> None:
        path = user_file(b"Host a\n")
        config_file.ensure_include()
        stamp = path.stat()
        config_file.ensure_include()
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (stamp.st_ino, stamp.st_mtime_ns)

    def test_below_a_host_it_is_moved_to_the_top(self) -> None:
        path = user_file(b"Host a\n  Port 1\n" + ours() + b"# end\n")
        assert config_file.ensure_include() is Outcome.MOVED
        assert path.read_bytes() == ours() + b"Host a\n  Port 1\n# end\n"

    @pytest.mark.parametrize("block", [b"Match all\n", b"\thost=a\n", b'"Host" a\n', b"HOST a\n"])
    def test_every_spelling_of_a_block_counts(self, block: bytes) -> None:
        path = user_file(block + ours())
        assert config_file.ensure_include() is Outcome.MOVED
        assert path.read_bytes() == ours() + block

    def test_another_tool_may_be_first(self) -> None:
        content = b"Include ~/.dstack/ssh/config\nUser bob\n" + ours() + b"Host a\n"
        path = user_file(content)
        assert config_file.ensure_include() is Outcome.UNCHANGED
        assert path.read_bytes() == content

    @pytest.mark.parametrize(
        "spelling", ['include "{path}"', "  INCLUDE\t{path}  ", "Include={path}", "Include x {path}"]
    )
    def test_an_include_spelled_by_the_user_is_recognised(self, spelling: str) -> None:
        content = spelling.format(path=paths.ssh_hosts_file()).encode() + b"\nHost a\n"
        path = user_file(content)
        assert config_file.ensure_include() is Outcome.UNCHANGED
        assert path.read_bytes() == content

    def test_an_include_of_more_than_us_is_never_removed(self) -> None:
        content = f"Include other {paths.ssh_hosts_file()}\n".encode()
        user_file(content)
        assert config_file.remove_include() is Outcome.UNCHANGED

    @pytest.mark.parametrize("permissions", [0o600, 0o644, 0o640])
    def test_the_mode_is_kept(self, permissions: int) -> None:
        path = user_file(b"Host a\n")
        path.chmod(permissions)
        config_file.ensure_include()
        assert mode(path) == permissions

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
    def test_the_owner_is_kept(self) -> None:
        path = user_file(b"Host a\n")
        os.chown(path, 1234, 4321)
        config_file.ensure_include()
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)

    def test_a_symlink_is_kept_and_its_target_written(self, tmp_path: Path) -> None:
        target = tmp_path / "dotfiles" / "ssh_config"
        target.parent.mkdir()
        target.write_bytes(b"Host a\n")
        path = user_file()
        path.symlink_to(os.path.relpath(target, path.parent))
        config_file.ensure_include()
        assert path.is_symlink()
        assert target.read_bytes() == ours() + b"Host a\n"
        config_file.remove_include()
        assert path.is_symlink()
        assert target.read_bytes() == b"Host a\n"

    def test_a_dangling_symlink_gets_its_target(self, tmp_path: Path) -> None:
        path = user_file()
        path.symlink_to(tmp_path / "dotfiles" / "ssh_config")
        assert config_file.ensure_include() is Outcome.CREATED
        assert path.is_symlink()
        assert (tmp_path / "dotfiles" / "ssh_config").read_bytes() == ours(note=OWN_FILE)
        assert config_file.remove_include() is Outcome.REMOVED
        assert path.is_symlink()
        assert not path.exists()

    @pytest.mark.parametrize("breaking", ["read-only", "directory", "loop", "UTF-16"])
    def test_a_file_we_cannot_change_is_an_error_with_the_line_to_add(self, breaking: str) -> None:
        path = user_file()
        if breaking == "read-only":
            path.write_bytes(b"Host a\n")
            path.chmod(0o444)
        elif breaking == "directory":
            path.mkdir()
        elif breaking == "loop":
            path.symlink_to(path)
        else:
            path.write_bytes("Host a\n".encode("utf-16"))
        with pytest.raises(NotWritableError) as refusal:
            config_file.ensure_include()
        assert refusal.value.line == config_file.include_line()
        assert refusal.value.hint is not None
        assert refusal.value.line in refusal.value.hint
        assert str(path) in refusal.value.message
        if breaking == "read-only":
            assert path.read_bytes() == b"Host a\n"

    def test_no_litter_is_left(self) -> None:
        path = user_file(b"Host a\n")
        config_file.ensure_include()
        config_file.remove_include()
        assert [each.name for each in path.parent.iterdir()] == ["config"]

    def test_concurrent_processes_leave_one_include_and_a_whole_file(self) -> None:
        path = user_file(b"Host a\n  Port 1\n")
        program = (
            "import sys\n"
            "from devpod_rp.ssh import config_file as c\n"
            "for _ in range(20):\n"
            "    c.ensure_include()\n"
            "    if sys.argv[1] == 'remover': c.remove_include()\n"
        )
        roles: Sequence[str] = ["remover", "adder", "remover", "adder"]
        workers = [subprocess.Popen([sys.executable, "-c", program, role], cwd=Path.cwd()) for role in roles]
        assert [worker.wait(90) for worker in workers] == [0] * len(workers)
        config_file.ensure_include()
        assert path.read_bytes() == ours() + b"Host a\n  Port 1\n"


# Lines that real configurations are made of, and some that nobody should write.
line = st.one_of(
    st.sampled_from(
        [
            b"Host *", b"Host a b !c", b"  HostName 192.0.2.1", b"\tPort=22", b"Match host x exec \"true\"", b"",
            b"# Host in a comment", b"Include ~/.other/config", b"include conf.d/*", b"IdentityFile \"~/my keys/id\"",
            b"User bob # trailing", b"   ", b"HOST upper", b"SetEnv A=\"b c\"", b"hostess no", b"Includes no",
        ]
    ),
    st.binary(max_size=30).filter(lambda raw: b"\n" not in raw and b"include" not in raw.lower()),
)  # fmt: skip


@st.composite
def user_configurations(draw: st.DrawFn) -> bytes:
    newline = draw(st.sampled_from([b"\n", b"\r\n"]))
    content = newline.join(draw(st.lists(line, max_size=12)))
    return draw(st.sampled_from([b"", BOM])) + content + draw(st.sampled_from([b"", newline]))


def names_us(argument: str) -> bool:
    return argument == "/ours"


@given(user_configurations())
@settings(max_examples=500, deadline=None)
def test_adding_updating_and_removing_leaves_every_foreign_byte(content: bytes) -> None:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return
    body = content.removeprefix(BOM)
    added = with_include(content, "/ours", names_us)
    assert added.startswith(COMMENT)
    assert added.endswith(body)
    assert added[: len(added) - len(body)].split()[-2:] == [b"Include", b"/ours"]
    assert with_include(added, "/ours", names_us) == added
    assert without_include(added, names_us) == content


@given(user_configurations(), user_configurations())
@settings(max_examples=300, deadline=None)
def test_an_include_anywhere_below_is_found_and_moved(above: bytes, below: bytes) -> None:
    above = b"Host first\n" + above.removeprefix(BOM)
    above += b"" if above.endswith(b"\n") else b"\n"
    content = above + COMMENT + b"\nInclude /ours\n" + below
    moved = with_include(content, "/ours", names_us)
    assert moved.endswith(above + below)
    assert moved.count(b"Include /ours") == 1
    assert without_include(moved, names_us) == above + below


option = st.sampled_from(
    ["User bob", "Port 2222", "HostName 192.0.2.{n}", "ForwardAgent yes", "IdentityFile ~/.ssh/id_{n}",
     "Compression yes", "ServerAliveInterval {n}", "ProxyJump bastion",
     "StrictHostKeyChecking no", "LocalForward 80{n} localhost:80"]
)  # fmt: skip
pattern = st.sampled_from(["alpha", "beta", "gamma alpha", "*.example.com", "*", "!beta *", "Upper"])
block = st.tuples(pattern, st.lists(option, max_size=4))


@given(st.lists(option, max_size=2), st.lists(block, max_size=5))
@settings(max_examples=25, deadline=None)
def test_foreign_hosts_resolve_exactly_as_before(
    tmp_path_factory: pytest.TempPathFactory, top: list[str], blocks: list[tuple[str, list[str]]]
) -> None:
    text = "".join(each.format(n=10 + index) + "\n" for index, each in enumerate(top))
    for hosts, options in blocks:
        text += f"Host {hosts}\n" + "".join(f"  {each.format(n=20 + index)}\n" for index, each in enumerate(options))
    directory = tmp_path_factory.mktemp("user")
    (directory / "ours").write_text("Host demo.devpod\n  HostName 203.0.113.7\n  Port 22017\n  User root\n")
    (directory / "ours").chmod(0o600)
    before, after = directory / "before", directory / "after"
    before.write_text(text)
    after.write_bytes(
        with_include(text.encode(), str(directory / "ours"), lambda each: each == str(directory / "ours"))
    )
    for host in ("alpha", "beta", "Upper", "www.example.com", "unknown"):
        assert resolved(host, after) == resolved(host, before)
    seen = resolved("demo.devpod", after)
    assert (seen["hostname"], seen["port"], seen["user"]) == ("203.0.113.7", "22017", "root")


def test_what_starts_a_pod_stands_in_quotes_that_every_reader_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    from devpod_rp.ssh.proxy_command import proxy_command

    monkeypatch.setenv("DEVPOD_RP_HOME", "/home/my files/100%")
    monkeypatch.delenv("DEVPOD_RP_SSH_CONFIG", raising=False)
    written = proxy_command("203.0.113.7", 0, "p.devpod", "p")
    notes, home = "/home/my files/100%%/state/environments/p/auto-start", "/home/my files/100%%"
    assert written.endswith(f'on_demand.py" 203.0.113.7 0 p.devpod p "{notes}" "DEVPOD_RP_HOME={home}"')
    assert written.startswith('"/')
    monkeypatch.setenv("DEVPOD_RP_HOME", "/home/$(reboot)")
    with pytest.raises(ConfigurationError, match="auto_start"):
        proxy_command("203.0.113.7", 0, "p.devpod", "p")
