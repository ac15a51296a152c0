"""The monitor: once, for programs, and live over a server that goes and comes back."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.outcomes import Reason
from tests.cli.conftest import Command
from tests.conftest import wait_until
from tests.instance import COMMAND
from tests.queue.letters import bury

TUTORS = QueueChannels.TUTORS
QUICK = ("monitor", "--interval", "0.1")


class Running:
    """A monitor as a process of its own, and what it has written until now."""

    def __init__(self, process: subprocess.Popen[bytes], output: int) -> None:
        self.process, self.output = process, b""
        self._thread = threading.Thread(target=self._read, args=(output,), daemon=True)
        self._thread.start()

    def _read(self, output: int) -> None:
        # A pseudo terminal whose other side is closed answers with an error.
        with suppress(OSError):
            while part := os.read(output, 65_536):
                self.output += part

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(30)
        self._thread.join(30)
        return code

    def looks(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.decode().split("\n")[:-1]]

    def wait_for(self, up: bool, after: int = 0) -> dict[str, Any]:
        found = wait_until(
            lambda: [one for one in self.looks()[after:] if one["redis"]["up"] is up], 30, f"up: {up}"
        )
        return found[-1]


@contextmanager
def running(
    environment: dict[str, str], folder: Path, *options: str, terminal: bool = False
) -> Iterator[Running]:
    ours, theirs = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen(
        [*COMMAND, *QUICK, *options],
        env={**os.environ, **environment, "TERM": "xterm-256color"},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        yield Running(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_a_snapshot_shows_everything_in_eighty_columns_without_colour(
    process: Command, client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    bury(client, 2, reason=Reason.EXPIRED)
    publisher.publish_batch(TUTORS, [{"tutor_id": f"T{n}", "name": "Ann"} for n in range(3)])
    consumer.read(TUTORS, 1)
    done = process(*QUICK, "--snapshot")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("tutors")]
    assert row.split()[1:5] == ["2", "1", "0", "2"]
    assert "consumer-of-the-test" in done.stdout
    (letters,) = [line for line in done.stdout.splitlines() if "expired" in line]
    assert letters.split()[:3] == ["expired", "tutors", "2"]
    assert "Ann" not in done.stdout


def test_an_encoding_without_blocks_is_no_error(
    process: Command, client: RedisClient, publisher: MessagePublisher
) -> None:
    publisher.publish(TUTORS, {"tutor_id": "T", "name": "x"})
    MessageConsumer(client, "läufer").read(TUTORS, 1)
    done = process(*QUICK, "--snapshot", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "l?ufer" in done.stdout


def test_a_program_reads_one_object(
    tutormax: Command, publisher: MessagePublisher, client: RedisClient
) -> None:
    publisher.publish(TUTORS, {"tutor_id": "T", "name": "x"})
    done = tutormax(*QUICK, "--snapshot", "--json")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found["redis"]["address"] == client.address
    assert (found["redis"]["up"], found["redis"]["append_only"]) == (True, True)
    tutors = found["channels"]["tutors"]
    assert (tutors["waiting"], tutors["entries_added"], tutors["published_per_second"]) == (1, 1, 0)
    assert found["dead_letters"] == {"total": 0, "looked_at": 0, "by_reason": []}


@pytest.mark.parametrize("options", [("--snapshot",), ("--snapshot", "--json")])
def test_where_redis_is_away_a_snapshot_is_one_line_and_a_failure(
    tutormax: Command, options: tuple[str, ...]
) -> None:
    done = tutormax(*QUICK, *options, REDIS_URL="redis://127.0.0.1:1/0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: Redis at 127.0.0.1:1/0 is not available")
    assert done.stderr.count("\n") == 1


def test_a_wrong_password_ends_it_at_once_and_is_not_printed(
    tutormax: Command, environment: dict[str, str]
) -> None:
    url = environment["REDIS_URL"].replace("redis://", "redis://nobody:hunter2@")
    done = tutormax(*QUICK, REDIS_URL=url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "refused access" in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "often"])
def test_an_interval_that_is_none_is_refused(tutormax: Command, interval: str) -> None:
    assert tutormax("monitor", "--snapshot", "--interval", interval).returncode == 2


def test_live_it_says_since_when_redis_is_away_and_goes_on_when_it_is_back(
    environment: dict[str, str], tmp_path: Path
) -> None:
    server = EmbeddedServer(tmp_path / "server")
    server.start()
    try:
        with running({**environment, "REDIS_URL": server.url}, tmp_path, "--json") as monitor:
            monitor.wait_for(up=True)
            server.kill()
            lost = monitor.wait_for(up=False)
            assert "is not available" in lost["redis"]["error"]
            assert lost["redis"]["away_since"] > lost["taken_at"]
            assert lost["channels"]["tutors"]["published_per_second"] is None
            seen = len(monitor.looks())
            server.start()
            assert monitor.wait_for(up=True, after=seen)["redis"]["away_since"] is None
            # Whoever reads the lines has the earlier ones.
            assert all("history" not in one["channels"]["tutors"] for one in monitor.looks())
            assert monitor.end() == 0
    finally:
        server.kill()


@pytest.mark.parametrize(("options", "code"), [(("--json",), 0), (("--snapshot",), 1)])
def test_it_ends_at_once_while_a_server_gives_no_answer(
    environment: dict[str, str], tmp_path: Path, options: tuple[str, ...], code: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        frozen.settimeout(60)
        place = {"REDIS_URL": f"redis://127.0.0.1:{frozen.getsockname()[1]}/0", "REDIS_SOCKET_TIMEOUT": "300"}
        with running({**environment, **place}, tmp_path, *options) as monitor:
            connection, _ = frozen.accept()
            with connection:
                assert connection.recv(1)
                assert monitor.end() == code
            assert b"Traceback" not in monitor.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_terminal_is_given_back_as_it_was(
    environment: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    with running(environment, tmp_path, terminal=True) as monitor:
        wait_until(lambda: b"Ctrl-C ends it" in monitor.output, 30, "the screen")
        assert b"\x1b[?1049h" in monitor.output
        assert monitor.end(number) == 0
        # The usual screen and its cursor are back.
        assert monitor.output.rfind(b"\x1b[?1049l") > monitor.output.rfind(b"\x1b[?1049h")
        assert monitor.output.rfind(b"\x1b[?25h") > monitor.output.rfind(b"\x1b[?25l")
        assert b"Traceback" not in monitor.output
