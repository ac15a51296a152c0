"""``tutormax up``, once, for real: sample data to rows, a lingering run, a second up, and Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import orjson
import psutil
import pytest

COMMAND = [sys.executable, "-c", "from tutormax_pipeline.cli import main; main(prog_name='tutormax')"]
SAMPLE = Path(__file__).parents[2] / "tutormax_pipeline" / "sample"
TABLES = ("tutors", "sessions", "feedback", "message_ledger")
RUNS = """query ($statuses: [RunStatus!]) {
  runsOrError(filter: {statuses: $statuses}) { ... on Runs { results { id } } }
}"""
TERMINATE = "mutation ($ids: [String!]!) { terminateRuns(runIds: $ids) { __typename } }"
#: More than the two minutes and thirty seconds that a slow machine may take.
START_SECONDS = 150

pytestmark = pytest.mark.timeout(280)


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
        time.sleep(0.05)
    return found


class Instance:
    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = folder / "output"
        with self.output.open("wb") as output:
            command = [*COMMAND, "up", "--port", str(self.port)]
            self.process = subprocess.Popen(
                command, cwd=folder, env=self.environment, stdout=output, stderr=output
            )

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "TUTORMAX_HOME": str(self.folder / "home")}

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*COMMAND, *arguments], cwd=self.folder, env=self.environment, capture_output=True, check=True
        )
        return done.stdout.decode()

    def counts(self) -> list[int]:
        with sqlite3.connect(self.folder / "home" / "tutormax.db") as database:
            return [database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES]

    def ask(self, query: str, **variables: object) -> Any:
        body = orjson.dumps({"query": query, "variables": variables})
        with urlopen(Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})) as answer:
            return orjson.loads(answer.read())["data"]

    def runs(self, status: str) -> list[str]:
        runs = self.ask(RUNS, statuses=[status])["runsOrError"]["results"]
        return [run["id"] for run in runs]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    one = Instance(tmp_path)
    try:
        wait_for(
            lambda: b"is up" in one.output.read_bytes() or one.process.poll() is not None, START_SECONDS, "up"
        )
        assert one.process.poll() is None, one.output.read_text()
        yield one
    finally:
        family = (
            [one.process, *psutil.Process(one.process.pid).children(recursive=True)]
            if one.process.poll() is None
            else []
        )
        for process in family:
            process.kill()


def test_from_nothing_to_rows_and_back(instance: Instance) -> None:
    wait_for(lambda: instance.counts() == [94, 463, 463, 1_020], 30, "the sample as rows")

    for channel in ("tutors", "sessions", "feedback"):
        instance.run("publish", channel, str(SAMPLE / f"{channel}.jsonl"))
    wait_for(lambda: instance.counts() == [94, 463, 463, 2_040], 30, "the ledger of the sample's second time")

    # The runs linger: what is published now is stored at once, without another run.
    lingering = wait_for(lambda: instance.runs("STARTED"), 30, "a lingering run")
    (instance.folder / "one.jsonl").write_bytes(b'{"tutor_id": "T1", "name": "x"}')
    instance.run("publish", "tutors", "one.jsonl")
    wait_for(lambda: instance.counts()[0] == 95, 2, "the message published while a run lingers")

    second = instance.run("up", "--port", str(instance.port))
    assert "It is up already" in second
    assert instance.url in second

    instance.ask(TERMINATE, ids=lingering[:1])
    wait_for(lambda: lingering[0] in instance.runs("CANCELED"), 30, "the cancelled run")
    assert instance.runs("FAILURE") == []

    family = psutil.Process(instance.process.pid).children(recursive=True)
    instance.process.send_signal(signal.SIGINT)
    assert instance.process.wait(timeout=90) == 0
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
    text = instance.output.read_text()
    assert re.search(r"1,020 sample messages were published", text)
    assert "Traceback" not in text
    home = instance.folder / "home"
    assert [file for file in home.rglob("*") if file.is_file() and file.stat().st_mode & 0o077] == []
