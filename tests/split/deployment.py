"""The split deployment: webserver, daemon, code server and workers, each a process of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest.mock import patch
from urllib.error import URLError
from urllib.request import Request, urlopen

import dagster as dg
import orjson
import psutil

from tests.conftest import patiently

ROOT = Path(__file__).parents[2]
FILES = ROOT / "deploy" / "dagster"
START_SECONDS = 110
#: Settings of the person who runs it reach no process.
_NOT_OURS = ("REDIS_", "TUTORMAX_", "DAGSTER_")
_LAUNCH = """mutation ($execution: ExecutionParams!) {
  launchRun(executionParams: $execution) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}"""
_TERMINATE = """mutation ($id: String!) {
  terminateRun(runId: $id, terminatePolicy: SAFE_TERMINATE) { __typename }
}"""
_RUN = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status tags { key value } } } }"
_RUNS = """query ($filter: RunsFilter!) {
  runsOrError(filter: $filter) { ... on Runs { results { id status jobName } } }
}"""
_LOADED = """query { repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"""
_DAEMONS = """query { instance { daemonHealth { allDaemonStatuses { daemonType healthy required } } } }"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Deployment:
    """Its processes, by name; each is started and killed on its own.

    Args:
        folder: for homes and logs.
        instance: name of the instance's file in deploy/dagster.
        variables: of every process.
    """

    def __init__(self, folder: Path, instance: str, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self.home = folder / "dagster"
        self.home.mkdir()
        shutil.copy(FILES / instance, self.home / "dagster.yaml")
        self._quicken(self.home / "dagster.yaml")
        self.web_port, code_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.web_port}"
        own = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_OURS)}
        self.environment = {
            **own,
            "PYTHONPATH": str(ROOT),
            "DAGSTER_HOME": str(self.home),
            "DAGSTER_CODE_SERVER_HOST": "127.0.0.1",
            "DAGSTER_CODE_SERVER_PORT": str(code_port),
            **variables,
        }
        workspace = ["-w", str(FILES / "workspace.yaml")]
        server = ["-m", "dagster", "api", "grpc", "-h", "127.0.0.1", "-p", str(code_port)]
        self.commands = {
            "code": [*server, "-m", "tutormax_pipeline.definitions", "--location-name", "tutormax"],
            "daemon": ["-m", "dagster._daemon", "run", *workspace],
            "web": ["-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(self.web_port), *workspace],
            "worker": ["-m", "celery", "-A", "tutormax_pipeline.celery_runs.worker", "worker"],
        }
        self.commands["worker"] += ["--concurrency", "2", "--without-gossip", "--without-mingle"]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._make_tables()

    @staticmethod
    def _quicken(file: Path) -> None:
        """The test does not wait 20 s for each look of the run monitoring."""
        text = file.read_text()
        assert "poll_interval_seconds: 20" in text
        file.write_text(text.replace("poll_interval_seconds: 20", "poll_interval_seconds: 2"))

    def _make_tables(self) -> None:
        # Each process would: on a busy machine so many at once that one gives up.
        with patch.dict(os.environ, self.environment), dg.DagsterInstance.from_config(str(self.home)):
            pass

    def start(self, *names: str) -> None:
        """Start some of them; does not wait."""
        for name in names:
            with self.log(name).open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, *self.commands[name]],
                    cwd=self.folder,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def kill(self, name: str) -> None:
        """End one, and what it started, without warning: as when its container or machine is gone."""
        family = self._family(name)
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        self.processes.pop(name).wait()
        _, alive = psutil.wait_procs(family, timeout=10)
        assert alive == []

    def _family(self, name: str) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.processes[name].pid)
            return [*parent.children(recursive=True), parent]
        return []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self.processes):
            self.kill(name)
        if error is not None:
            for log in sorted(self.folder.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text()[-6_000:]}")

    def wait_until_up(self) -> None:
        """Until the webserver has the code location from the code server, and the daemon is at work."""
        patiently(self._is_loaded, START_SECONDS, "the code location in the webserver")
        patiently(self._is_watched, START_SECONDS, "the daemon")

    def _is_loaded(self) -> bool:
        for name, process in self.processes.items():
            assert process.poll() is None, f"{name}: {self.log(name).read_text()[-4_000:]}"
        try:
            found = self.ask(_LOADED)["repositoriesOrError"]
        except (URLError, ConnectionError, TimeoutError):
            return False
        return bool(found.get("nodes"))

    def _is_watched(self) -> bool:
        statuses = self.ask(_DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
        return all(one["healthy"] for one in statuses if one["required"])

    def ask(self, query: str, **variables: object) -> Any:
        """Ask as the UI does: GraphQL over HTTP."""
        body = orjson.dumps({"query": query, "variables": variables})
        request = Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=60) as answer:
            return orjson.loads(answer.read())["data"]

    def launch(self, job: str, ops: Mapping[str, object] | None = None) -> str:
        """Launch a job; gives the run's id."""
        selector = {
            "repositoryLocationName": "tutormax",
            "repositoryName": "__repository__",
            "jobName": job,
        }
        execution = {"selector": selector, "runConfigData": {"ops": dict(ops or {})}}
        answer = self.ask(_LAUNCH, execution=execution)["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def terminate(self, run_id: str) -> None:
        answer = self.ask(_TERMINATE, id=run_id)["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer

    def status(self, run_id: str) -> str:
        return str(self.ask(_RUN, id=run_id)["runOrError"]["status"])

    def tags(self, run_id: str) -> dict[str, str]:
        return {tag["key"]: tag["value"] for tag in self.ask(_RUN, id=run_id)["runOrError"]["tags"]}

    def runs(self, *statuses: str, job: str | None = None) -> list[str]:
        """Ids of the runs in some states, newest first."""
        named = {"pipelineName": job} if job else {}
        found = self.ask(_RUNS, filter={"statuses": list(statuses), **named})
        return [run["id"] for run in found["runsOrError"]["results"]]

    def wait_for(self, run_id: str, *statuses: str, timeout_seconds: float = 60) -> str:
        what = f"the run's {' or '.join(statuses)}"
        patiently(lambda: self.status(run_id) in statuses, timeout_seconds, what)
        return self.status(run_id)
