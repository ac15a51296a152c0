"""The command that serves the metrics: as a process of its own, and what it says where it cannot."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.cli.conftest import Command
from tests.conftest import wait_until
from tests.instance import COMMAND


def test_it_serves_on_loopback_until_it_is_asked_to_end(environment: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*COMMAND, "metrics", "--port", str(port)],
            env={**os.environ, **environment},
            cwd=tmp_path,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(
            lambda: b"Metrics on" in log.read_bytes() or process.poll() is not None, 30, "the exporter"
        )
        assert log.read_text() == f"Metrics on http://127.0.0.1:{port}/metrics\n"
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            assert b"\ntutormax_redis_up 1.0\n" in answer.read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert "Traceback" not in log.read_text()
    finally:
        process.kill()
        process.wait()


def test_without_the_extra_it_says_how_to_install_it(
    tutormax: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "prometheus_client" else find(name, *rest),
    )
    done = tutormax("metrics")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "pip install 'tutormax-pipeline[metrics]'" in done.stderr


def test_a_port_that_is_taken_is_one_line(tutormax: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = tutormax("metrics", "--port", str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: Cannot listen on 127.0.0.1:{port} (Address already in use)")


def test_a_host_that_is_none_is_one_line(tutormax: Command) -> None:
    done = tutormax("metrics", "--host", "no host", "--port", "1024")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "Choose another --host" in done.stderr
