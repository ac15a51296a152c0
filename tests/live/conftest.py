"""A ``tutormax up`` that all tests of a module share, spoken to as the UI does: GraphQL over HTTP."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from queue_core import MessagePublisher, QueueChannels, RedisClient
from queue_core.monitor import snapshot
from tests.cli.conftest import COMMAND
from tests.cli.test_up import Instance
from tests.conftest import patiently
from tutormax_pipeline import books
from tutormax_pipeline.settings import PipelineSettings, redis_settings
from tutormax_pipeline.store import Store

SESSIONS = QueueChannels.SESSIONS
LAUNCH = """mutation ($execution: ExecutionParams!) {
  launchRun(executionParams: $execution) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}"""
TERMINATE = """mutation ($id: String!) {
  terminateRun(runId: $id, terminatePolicy: SAFE_TERMINATE) { __typename }
}"""
RUN = """query ($id: ID!) {
  runOrError(runId: $id) { ... on Run { status startTime endTime tags { key value } } }
}"""
#: In every test far less than REDIS_WORKER_MAX_PROCESSING_TIME_SECONDS, 300, after which a drain would take
#: over by itself what another left: what is stored by then was given back at once.
SOON_SECONDS = 120
#: A person's settings would change what is tested.
OWN_SETTINGS = ("REDIS_", "TUTORMAX_", "DAGSTER_")


class Run(NamedTuple):
    """What Dagster says of a run; times in seconds since 1970, None before they come."""

    status: str
    start: float | None
    end: float | None
    tags: dict[str, str]


class LiveInstance(Instance):
    """The same, without the sample, with runs that linger for 2 s, and able to start again."""

    def __init__(self, folder: Path) -> None:  # does not start it, as the other's does
        self.folder, self.home, self.output = folder, folder / "home", folder / "output"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(OWN_SETTINGS)},
            "TUTORMAX_HOME": str(self.home),
            "TUTORMAX_DRAIN_LINGER_SECONDS": "2",
        }
        self.published = 0

    def start(self) -> None:
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*COMMAND, "up", "--port", str(self.port), "--no-sample"],
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=output,
            )
        patiently(lambda: b"is up" in self.output.read_bytes() or self.process.poll() is not None, 110, "up")
        assert self.process.poll() is None, self.output.read_text()

    def launch(self, job: str, assets: list[str] | None = None, **config: object) -> str:
        """Launch a drain of the sessions; gives the run's id."""
        selector: dict[str, object] = {
            "repositoryLocationName": "tutormax",
            "repositoryName": "__repository__",
            "jobName": job,
        }
        if assets:
            selector["assetSelection"] = [{"path": [asset]} for asset in assets]
        run_config = {"ops": {"sessions": {"config": config}}}
        answer = self.ask(LAUNCH, execution={"selector": selector, "runConfigData": run_config})["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def look(self, run_id: str) -> Run:
        found: dict[str, Any] = self.ask(RUN, id=run_id)["runOrError"]
        tags = {tag["key"]: tag["value"] for tag in found["tags"]}
        return Run(found["status"], found["startTime"], found["endTime"], tags)

    def wait_for(self, run_id: str, *statuses: str) -> Run:
        what = f"the run's {' or '.join(statuses)}"
        patiently(lambda: self.look(run_id).status in statuses, SOON_SECONDS, what)
        return self.look(run_id)

    def terminate(self, run_id: str) -> None:
        answer = self.ask(TERMINATE, id=run_id)["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer

    @contextmanager
    def client(self) -> Iterator[RedisClient]:
        with RedisClient(redis_settings(PipelineSettings.load(home=self.home))) as client:
            yield client

    def publish(self, count: int) -> None:
        """Publish sessions, each with an id of its own."""
        first, self.published = self.published, self.published + count
        with self.client() as client:
            MessagePublisher(client).publish_batch(
                SESSIONS, ({"session_id": f"S{n}", "tutor_id": "T1"} for n in range(first, first + count))
            )

    def stored(self) -> int:
        """Sessions in the table."""
        return self.counts()[1]

    def stored_by(self, run_id: str) -> int:
        """Sessions in the table that a run stored."""
        return self._number("SELECT count(*) FROM sessions WHERE run_id = ?", run_id)

    def redelivered(self) -> int:
        """Messages that took more than one delivery that counts."""
        return self._number("SELECT count(*) FROM message_ledger WHERE deliveries > 1")

    def _number(self, query: str, *parameters: str) -> int:
        with closing(sqlite3.connect(self.home / "tutormax.db")) as database:
            return int(database.execute(query, parameters).fetchone()[0])

    def kill(self, *kinds: str) -> None:
        """End at once, with SIGKILL, its processes of each kind: words of their command lines."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        commands = {one: " ".join(one.cmdline()) for one in family if one.is_running()}
        for kind in kinds:
            assert any(kind in command for command in commands.values()), f"{kind}: {commands}"
        killed = [one for one, command in commands.items() if any(kind in command for kind in kinds)]
        for one in killed:
            with suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(killed, timeout=10)
        assert alive == []

    def assert_all_stored_once(self) -> None:
        """Every message ever published is one row, one line of the ledger, and in the books."""
        patiently(lambda: self.stored() == self.published, SOON_SECONDS, "every message as a row")
        with self.client() as client, Store.open(f"sqlite:///{self.home}/tutormax.db") as store:
            patiently(
                lambda: snapshot(client, SESSIONS).pending == 0, SOON_SECONDS, "the last acknowledgement"
            )
            assert self.outcomes() == {"stored": self.published}
            for channel in QueueChannels.all():
                found = books.look(client, store, channel, datetime.now(UTC))
                assert found.balanced, found
            assert snapshot(client, SESSIONS).dead == 0


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveInstance]:
    one = LiveInstance(tmp_path_factory.mktemp("live"))
    family: list[psutil.Process] = []
    try:
        one.start()
        family = one.processes()
        yield one
    finally:
        for process in [*family, *one.processes()]:
            with suppress(psutil.Error):
                process.kill()
        one.process.wait()
