"""Talking to a pod: only to the right one, only with our key, and never waiting for an answer that cannot come."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devpod_rp.errors import ConfigurationError
from devpod_rp.ssh.connection import (
    Address,
    Connection,
    HostKeyMismatch,
    PermissionDenied,
    Unreachable,
    banner,
)
from devpod_rp.ssh.keys import Identity
from devpod_rp.ssh.known_hosts import offered_host_key

from .relay import Relay
from .server import Server, SshServer, as_host_key, new_host_key


@pytest.fixture
def connection(server: Server, identity: Identity) -> Iterator[Connection]:
    with Connection.open(server.address, identity.private, server.host_key) as open_connection:
        yield open_connection


@pytest.fixture
def relayed(server: Server, relay: Relay, identity: Identity) -> Iterator[Connection]:
    """A connection through the relay that notices a dead peer in under a second."""
    with Connection.open(relay.address, identity.private, server.host_key, keepalive_seconds=0.2) as open_connection:
        yield open_connection


@contextmanager
def listener(answer: bytes | None = None, close: bool = False) -> Iterator[Address]:
    """Something that is not an SSH server: sends *answer* to everybody, then stays silent or closes."""
    accepted: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                accepted.append(peer)
                if answer is not None:
                    peer.sendall(answer)
                if close:
                    peer.close()

        thread = threading.Thread(target=serve, name="listener", daemon=True)
        thread.start()
        yield Address("127.0.0.1", server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    for peer in accepted:
        peer.close()


def wait_until(condition: object, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    tick = threading.Event()
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "the condition did not come true in time"
        tick.wait(0.02)


class TestCommands:
    def test_output_errors_and_exit_code_come_back_apart(self, connection: Connection) -> None:
        ended = connection.run("echo out; echo err >&2; exit 3")
        assert (ended.exit_code, ended.stdout, ended.stderr) == (3, b"out\n", b"err\n")

    def test_input_arrives_byte_for_byte_and_ends(self, connection: Connection) -> None:
        data = os.urandom(3_000_000)
        assert connection.run("cat", input=data).stdout == data

    def test_a_command_that_ignores_its_input_still_ends(self, connection: Connection) -> None:
        ended = connection.run("echo done", input=os.urandom(20_000_000))
        assert ended.stdout == b"done\n"

    def test_a_flood_on_both_outputs_does_not_deadlock(self, connection: Connection) -> None:
        command = "head -c 12000000 /dev/zero >&2 & head -c 12000000 /dev/zero; wait"
        ended = connection.run(command, timeout=60)
        assert (len(ended.stdout), len(ended.stderr)) == (12_000_000, 12_000_000)

    def test_a_command_killed_by_a_signal_has_exit_code_minus_one(self, connection: Connection) -> None:
        ended = connection.run("echo before; kill -9 $$")
        assert (ended.exit_code, ended.stdout) == (-1, b"before\n")
        assert connection.alive

    def test_a_command_that_does_not_end_in_time_is_given_up(self, connection: Connection) -> None:
        with pytest.raises(Unreachable, match=r"did not end within 0\.3 s"):
            connection.run("exec sleep 30", timeout=0.3)
        assert connection.run("echo still here").stdout == b"still here\n"

    def test_paths_that_are_not_utf8_leave_as_the_same_bytes(self, server: Server, connection: Connection) -> None:
        if isinstance(server, SshServer):
            pytest.skip("AsyncSSH refuses commands that are not UTF-8")
        name = b"caf\xe9".decode("utf-8", "surrogateescape")
        assert connection.run(f"printf %s '{name}'").stdout == b"caf\xe9"

    def test_many_commands_run_at_once(self, connection: Connection) -> None:
        results: dict[int, bytes] = {}

        def work(number: int) -> None:
            results[number] = connection.run(f"cat; echo {number}", input=b"x" * 100_000).stdout

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert results == {number: b"x" * 100_000 + f"{number}\n".encode() for number in range(8)}


class TestStreams:
    def test_stdin_can_end_while_stdout_goes_on(self, connection: Connection) -> None:
        with connection.channel("sort; echo end") as channel:
            channel.stdin.write(b"b\na\n")
            channel.stdin.close()
            assert channel.stdout.read() == b"a\nb\nend\n"
            assert channel.wait(10) == 0

    def test_reads_return_exactly_what_was_asked_for(self, connection: Connection) -> None:
        with connection.channel("for i in 1 2 3 4; do printf 12345678; done") as channel:
            assert channel.stdout.read(20) == b"12345678123456781234"
            assert channel.stdout.read(20) == b"567812345678"
            assert channel.stdout.read(1) == b""

    def test_a_question_is_answered_while_the_channel_stays_open(self, connection: Connection) -> None:
        with connection.channel('while read line; do echo "<$line>"; done') as channel:
            for word in (b"one", b"two", b"three"):
                channel.stdin.write(word + b"\n")
                assert channel.stdout.readline() == b"<" + word + b">\n"

    def test_stderr_nobody_reads_does_not_stop_stdout(self, connection: Connection) -> None:
        with connection.channel("head -c 20000000 /dev/zero >&2; echo last words >&2; echo alive") as channel:
            assert channel.stdout.readline() == b"alive\n"
            kept = channel.stderr.read()
        assert kept.endswith(b"last words\n")
        assert len(kept) < 10_000_000, "the newest 256 KiB and what was still on its way"

    def test_writing_to_a_command_that_ended_says_so(self, connection: Connection) -> None:
        with connection.channel("exit 0") as channel:
            channel.wait(10)
            with pytest.raises(Unreachable, match="has ended"):
                channel.stdin.write(b"x" * 50_000_000)

    def test_closing_a_channel_wakes_its_reader(self, connection: Connection) -> None:
        channel = connection.channel("exec sleep 30")
        seen: list[bytes] = []
        reader = threading.Thread(target=lambda: seen.append(channel.stdout.read()))
        reader.start()
        channel.close()
        reader.join(5)
        assert seen == [b""]


class TestWhoAnswers:
    def test_an_impostor_on_the_same_port_is_refused_before_any_login(self, identity: Identity) -> None:
        with SshServer(identity.public) as real:
            pinned, port = real.host_key, real.address.port
        with SshServer(identity.public, port=port) as impostor:
            with pytest.raises(HostKeyMismatch) as refusal:
                Connection.open(impostor.address, identity.private, pinned)
            assert impostor.logins == []
        assert pinned.fingerprint in refusal.value.message
        assert impostor.host_key.fingerprint in refusal.value.message

    def test_an_impostor_with_another_kind_of_key_is_refused(self, server: Server, identity: Identity) -> None:
        with SshServer(identity.public, [new_host_key("ecdsa-sha2-nistp256")]) as impostor:
            with pytest.raises(HostKeyMismatch):
                Connection.open(impostor.address, identity.private, server.host_key)
            assert impostor.logins == []

    @pytest.mark.parametrize("kind", ["ssh-rsa", "ecdsa-sha2-nistp256", "ssh-ed25519"])
    def test_a_server_with_several_keys_is_asked_for_the_pinned_one(self, identity: Identity, kind: str) -> None:
        keys = [new_host_key(each) for each in ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")]
        pinned = next(as_host_key(key) for key in keys if key.get_algorithm() == kind)
        with (
            SshServer(identity.public, keys) as server,
            Connection.open(server.address, identity.private, pinned) as connection,
        ):
            assert connection.run("echo me").stdout == b"me\n"

    def test_the_offered_key_is_the_servers_and_ed25519_if_it_has_one(self, identity: Identity) -> None:
        keys = [new_host_key("ssh-rsa"), new_host_key("ssh-ed25519")]
        with SshServer(identity.public, keys) as server:
            assert offered_host_key("127.0.0.1", server.address.port) == as_host_key(keys[1])
            assert server.logins == []

    def test_a_key_the_server_does_not_know_is_denied(self, server: Server, tmp_path: Path) -> None:
        stranger = tmp_path / "id"
        stranger.write_bytes(new_host_key().export_private_key())
        with pytest.raises(PermissionDenied, match=str(stranger)):
            Connection.open(server.address, stranger, server.host_key)

    def test_a_broken_private_key_is_a_configuration_error(self, server: Server, tmp_path: Path) -> None:
        broken = tmp_path / "id"
        broken.write_text("no key")
        with pytest.raises(ConfigurationError, match="cannot be used"):
            Connection.open(server.address, broken, server.host_key)


class TestNobodyAnswers:
    def test_a_closed_port(self, identity: Identity) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = Address("127.0.0.1", taken.getsockname()[1])
        for attempt in (
            lambda: Connection.open(address, identity.private, as_host_key(new_host_key())),
            lambda: banner(address, 2.0),
            lambda: offered_host_key(address.host, address.port, 2.0),
        ):
            with pytest.raises(Unreachable, match="refused"):
                attempt()

    def test_a_port_that_speaks_something_else(self, identity: Identity) -> None:
        answer = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
        with listener(answer, close=True) as address:
            with pytest.raises(Unreachable, match="but not with SSH"):
                Connection.open(address, identity.private, as_host_key(new_host_key()))
            with pytest.raises(Unreachable, match="SSH"):
                banner(address, 2.0)

    def test_a_server_that_accepts_and_says_nothing(self, identity: Identity) -> None:
        with listener() as address:
            for attempt in (
                lambda: Connection.open(address, identity.private, as_host_key(new_host_key()), timeout=0.4),
                lambda: banner(address, 0.4),
            ):
                started = time.monotonic()
                with pytest.raises(Unreachable, match=r"said nothing of SSH for 0\.4 s"):
                    attempt()
                assert time.monotonic() - started < 3

    def test_a_server_that_stops_after_its_banner(self, identity: Identity) -> None:
        with listener(b"SSH-2.0-stuck\r\n") as address:
            assert banner(address, 2.0) == "SSH-2.0-stuck"
            started = time.monotonic()
            with pytest.raises(Unreachable, match="did not finish the SSH handshake"):
                Connection.open(address, identity.private, as_host_key(new_host_key()), timeout=0.4)
            assert time.monotonic() - started < 3
        wait_until(lambda: not any(isinstance(each, threading.Timer) for each in threading.enumerate()))

    def test_a_server_that_drips_lines_forever_cannot_outstay_the_timeout(self, identity: Identity) -> None:
        with listener(b"patience\r\n" * 50) as address:
            with pytest.raises(Unreachable):
                Connection.open(address, identity.private, as_host_key(new_host_key()), timeout=0.4)
            with pytest.raises(Unreachable):
                banner(address, 0.4)

    def test_lines_before_the_banner_are_allowed(self) -> None:
        with listener(b"Welcome\r\nto the relay\r\nSSH-2.0-behind comment\r\n") as address:
            assert banner(address, 2.0) == "SSH-2.0-behind comment"

    def test_an_unknown_host_name(self) -> None:
        with pytest.raises(Unreachable, match="cannot connect to"):
            banner(Address("no-such-host.invalid", 22), 2.0)

    def test_nothing_is_printed_while_connections_fail(
        self, identity: Identity, capfd: pytest.CaptureFixture[str]
    ) -> None:
        logging.getLogger("devpod_rp.ssh.paramiko").handlers.clear()
        with listener(b"SSH-2.0-odd\r\ngarbage" * 20, close=True) as address, pytest.raises(Unreachable):
            Connection.open(address, identity.private, as_host_key(new_host_key()))
        assert capfd.readouterr() == ("", "")


class TestConnectionsThatBreak:
    def test_a_cut_in_mid_transfer_is_an_error_and_not_the_end_of_the_file(
        self, relayed: Connection, relay: Relay
    ) -> None:
        with relayed.channel("head -c 50000000 /dev/zero") as channel:
            channel.stdout.read(100_000)
            relay.cut_after(1_000_000)
            with pytest.raises(Unreachable, match="is lost"):
                channel.stdout.read()
        wait_until(lambda: not relayed.alive)

    def test_a_cut_while_writing_is_an_error(self, relayed: Connection, relay: Relay) -> None:
        with relayed.channel("cat > /dev/null") as channel:
            relay.cut_after(1_000_000)
            with pytest.raises(Unreachable):
                channel.stdin.write(b"x" * 100_000_000)

    def test_run_reports_a_cut(self, relayed: Connection, relay: Relay) -> None:
        threading.Timer(0.2, relay.cut).start()
        with pytest.raises(Unreachable, match="is lost"):
            relayed.run("exec sleep 30")

    def test_a_half_open_connection_is_noticed_by_a_waiting_reader(self, relayed: Connection, relay: Relay) -> None:
        with relayed.channel("exec sleep 30") as channel:
            relay.freeze()
            started = time.monotonic()
            with pytest.raises(Unreachable, match="no sign of life"):
                channel.stdout.read()
            assert 0.5 < time.monotonic() - started < 5

    def test_a_half_open_connection_is_noticed_by_a_blocked_writer(self, relayed: Connection, relay: Relay) -> None:
        with relayed.channel("cat > /dev/null") as channel:
            channel.stdin.write(b"x")
            relay.freeze()
            with pytest.raises(Unreachable, match="no sign of life"):
                channel.stdin.write(b"x" * 100_000_000)

    @pytest.mark.slow
    def test_an_idle_connection_is_not_taken_for_a_dead_one(self, relayed: Connection) -> None:
        with relayed.channel("sleep 1.5; echo awake") as channel:
            assert channel.stdout.read() == b"awake\n"

    @pytest.mark.slow
    def test_small_writes_without_answers_are_not_taken_for_silence(self, relayed: Connection) -> None:
        tick = threading.Event()
        with relayed.channel("cat > /dev/null") as channel:
            for _ in range(30):
                channel.stdin.write(b"drip")
                tick.wait(0.05)
        assert relayed.alive

    @pytest.mark.slow
    def test_a_command_that_does_not_read_is_not_taken_for_a_dead_peer(self, relayed: Connection) -> None:
        data = os.urandom(8_000_000)
        ended = relayed.run("sleep 1.5; sha256sum", input=data, timeout=60)
        assert ended.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()

    def test_a_lost_connection_refuses_new_commands(self, relayed: Connection, relay: Relay) -> None:
        relay.cut()
        wait_until(lambda: not relayed.alive)
        with pytest.raises(Unreachable, match="is lost"):
            relayed.run("true")

    def test_closing_ends_every_thread(self, server: Server, identity: Identity) -> None:
        before = set(threading.enumerate())
        connection = Connection.open(server.address, identity.private, server.host_key, keepalive_seconds=0.1)
        channel = connection.channel("exec sleep 30")
        connection.close()
        connection.close()
        assert not connection.alive
        with pytest.raises(Unreachable):
            channel.stdout.read()
        wait_until(lambda: set(threading.enumerate()) <= before)
