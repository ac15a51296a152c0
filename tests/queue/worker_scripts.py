"""Programs with a worker, each a process of its own, that say by lines in a file what they do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from queue_core.client import RedisClient
from queue_core.embedded import EmbeddedServer
from tests.conftest import settings_for

ROOT = Path(__file__).parents[2]
START = """
import multiprocessing, os, signal, sys, threading, time
from queue_core import QueueWorker
def say(*words):
    with open(sys.argv[1], "a") as file:
        print(*words, file=file)
worker = QueueWorker("tutors")
"""


class WorkerScript:
    """A program: what comes before the imports, ``START``, and its body."""

    def __init__(
        self, client: RedisClient, folder: Path, body: str, *, before: str = "", **variables: str
    ) -> None:
        assert client.settings.url is not None
        self._said = folder / "said"
        self._said.touch()
        settings = {
            "REDIS_URL": client.settings.url.get_secret_value(),
            "REDIS_KEY_PREFIX": client.settings.key_prefix,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", before + START + body, str(self._said)],
            env={**os.environ, "PYTHONPATH": str(ROOT), **settings, **variables},
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def said(self) -> list[str]:
        """The lines until now."""
        return self._said.read_text().splitlines()

    def ended(self) -> int:
        """Its exit code, once it has one."""
        _, self.console = self.process.communicate(timeout=30)
        return self.process.returncode


@pytest.fixture
def client(valkey: EmbeddedServer) -> Iterator[RedisClient]:
    """On one kind of server: signals and processes are no business of it."""
    with RedisClient(settings_for(valkey)) as client:
        yield client


@pytest.fixture
def script(client: RedisClient, tmp_path: Path) -> Iterator[Callable[..., WorkerScript]]:
    """Starts a program."""
    started: list[WorkerScript] = []

    def start(body: str, **variables: str) -> WorkerScript:
        started.append(WorkerScript(client, tmp_path, body, **variables))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
