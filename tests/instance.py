"""A ``tutormax up`` for real, as a process of its own in a home of its own."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import orjson
import psutil

from queue_core import RedisClient
from tests.conftest import patiently
from tutormax_pipeline.settings import PipelineSettings, redis_settings

COMMAND = [sys.executable, "-c", "from tutormax_pipeline.cli import main; main(prog_name='tutormax')"]
TABLES = ("tutors", "sessions", "feedback", "message_ledger")
RUNS = """query ($status: RunStatus!, $job: String) {
  runsOrError(filter: {statuses: [$status], pipelineName: $job}) { ... on Runs { results { id } } }
}"""
#: The screen is to be there within 110 s on a slow machine.
UP_SECONDS = 110
#: Settings of the person who runs it reach no instance, also one that is started outside a test.
_NOT_OURS = ("REDIS_", "TUTORMAX_", "DAGSTER_")


class Instance:
    """A ``tutormax up`` in a folder of its own.

    Args:
        folder: where its home is made.
        options: more of its command line.
        variables: more of its environment.
    """

    def __init__(self, folder: Path, *options: str, **variables: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder, self.home = folder, folder / "home"
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = folder / "output"
        own = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_OURS)}
        self.environment = {**own, "TUTORMAX_HOME": str(self.home), **variables}
        command = [*COMMAND, "up", "--port", str(self.port), *options]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=folder, env=self.environment, stdout=output, stderr=output
            )

    def run(self, *arguments: str, given: str = "") -> str:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment,
            input=given.encode(),
            capture_output=True,
            check=True,
        )
        return done.stdout.decode()

    def client(self) -> RedisClient:
        return RedisClient(redis_settings(PipelineSettings.load(home=self.home)))

    def counts(self) -> list[int]:
        with closing(sqlite3.connect(self.home / "tutormax.db")) as database:
            return [database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES]

    def outcomes(self) -> dict[str, int]:
        with closing(sqlite3.connect(self.home / "tutormax.db")) as database:
            return dict(database.execute("SELECT outcome, count(*) FROM message_ledger GROUP BY outcome"))

    def ask(self, query: str, **variables: object) -> Any:
        body = orjson.dumps({"query": query, "variables": variables})
        with urlopen(Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})) as answer:
            return orjson.loads(answer.read())["data"]

    def runs(self, status: str, job: str | None = None) -> list[str]:
        runs = self.ask(RUNS, status=status, job=job)["runsOrError"]["results"]
        return [run["id"] for run in runs]

    def processes(self) -> list[psutil.Process]:
        """Every process that was started with this home, and every descendant of ``up``."""
        found = {}
        for one in psutil.process_iter():
            with suppress(psutil.Error):
                if one.environ().get("TUTORMAX_HOME") == str(self.home):
                    found[one.pid] = one
        if self.process.poll() is None:
            found |= {one.pid: one for one in psutil.Process(self.process.pid).children(recursive=True)}
        return list(found.values())


@contextmanager
def running_instance(folder: Path, *options: str, **variables: str) -> Iterator[Instance]:
    """One that is up; at the end, nothing of it is left."""
    one = Instance(folder, *options, **variables)
    family = []
    try:
        patiently(
            lambda: b"is up" in one.output.read_bytes() or one.process.poll() is not None, UP_SECONDS, "up"
        )
        assert one.process.poll() is None, one.output.read_text()
        family = one.processes()
        yield one
    finally:
        for process in [*family, *one.processes()]:
            with suppress(psutil.Error):
                process.kill()
        one.process.wait()
