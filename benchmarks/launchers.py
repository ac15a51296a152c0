"""What a run costs with the default launcher, and with a worker of Celery: processor, time to its first step.

    python -m benchmarks.launchers             # about a minute
    python -m benchmarks.launchers --runs 10

The split deployment is started twice, with the instance files of deploy/dagster, on a PostgreSQL and a Redis
of its own. Runs are launched one after the other over GraphQL, as a person does. The processor time is that
of the processes in which runs are executed, children of the code server or of the worker, from start to end.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

import click
import psutil
from rich.console import Console

from benchmarks.figures import Figure, table_of
from benchmarks.machine import Machine
from benchmarks.place import Place
from tests.postgres import PASSWORD, PostgresServer
from tests.split.deployment import Deployment

_TABLE_WIDTH = 120
_STEPS = """query ($id: ID!) { runOrError(runId: $id) { ... on Run {
  creationTime stepStats { startTime } } } }"""
_LAUNCHERS = {
    "code": ("dagster.yaml", ("code", "daemon", "web")),
    "worker": ("dagster.celery.yaml", ("code", "daemon", "web", "worker")),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What runs cost with a launcher.

    Attributes:
        cpu_seconds: processor time of a run, in whichever process.
        start_seconds: from the launch to its first step, each run.
        memory_mb: proportional memory of the deployment while it is idle.
    """

    cpu_seconds: float
    start_seconds: tuple[float, ...]
    memory_mb: float


@click.command(help="Measure a run with each launcher.")
@click.option("--runs", default=5, show_default=True, help="Runs with each.")
def main(*, runs: int) -> None:
    """Print the figures."""
    console = Console()
    with Place.open() as place, PostgresServer(place.folder / "postgres", durable=True) as server:
        machine = Machine.measured(place.folder)
        figures = []
        for number, (name, (file, processes)) in enumerate(_LAUNCHERS.items()):
            folder = place.folder / str(number)
            folder.mkdir()
            variables = _variables(server, place.url, folder)
            with Deployment(folder, file, variables) as deployment:
                deployment.start(*processes)
                deployment.wait_until_up()
                cost = _measure(deployment, name, runs)
            starts, memory = cost.start_seconds, cost.memory_mb
            figures += [
                Figure(f"a run, child of the {name}: processor", cost.cpu_seconds, "s"),
                Figure("to its first step", statistics.median(starts), "s", rounds=starts),
                Figure("memory of the idle deployment", memory, "MB"),
            ]
    console.width = max(console.width, _TABLE_WIDTH)
    console.print(table_of(figures, str(machine)))


def _variables(server: PostgresServer, redis_url: str, folder: Path) -> dict[str, str]:
    database = server.new_database()
    return {
        "DAGSTER_POSTGRES_HOST": "127.0.0.1",
        "DAGSTER_POSTGRES_PORT": str(server.port),
        "DAGSTER_POSTGRES_USER": "postgres",
        "DAGSTER_POSTGRES_PASSWORD": PASSWORD,
        "DAGSTER_POSTGRES_DB": database,
        "REDIS_URL": redis_url,
        "REDIS_KEY_PREFIX": database,
        "TUTORMAX_CELERY_BROKER_URL": redis_url,
        "TUTORMAX_CELERY_KEY_PREFIX": f"{database}-celery:",
        "TUTORMAX_STORE_URL": f"sqlite:///{folder}/store.db",
    }


def _measure(deployment: Deployment, parent: str, runs: int) -> Cost:
    _run(deployment)  # the tables, and what is loaded at first use
    memory = sum(one.memory_full_info().pss for one in _family(deployment)) / 1024**2
    before = _cpu_seconds(deployment, parent)
    starts = tuple(_run(deployment) for _ in range(runs))
    return Cost((_cpu_seconds(deployment, parent) - before) / runs, starts, memory)


def _run(deployment: Deployment) -> float:
    """Drain an empty queue; returns the seconds from the launch to the first step."""
    run = deployment.launch("drain_tutors")
    status = deployment.wait_for(run, "SUCCESS", "FAILURE")
    assert status == "SUCCESS", run
    found = deployment.ask(_STEPS, id=run)["runOrError"]
    return float(found["stepStats"][0]["startTime"]) - float(found["creationTime"])


def _family(deployment: Deployment) -> list[psutil.Process]:
    found = []
    for process in deployment.processes.values():
        parent = psutil.Process(process.pid)
        found += [parent, *parent.children(recursive=True)]
    return found


def _cpu_seconds(deployment: Deployment, parent: str) -> float:
    """Of the children of a process: those that ended, and those that live."""
    process = psutil.Process(deployment.processes[parent].pid)
    ended = process.cpu_times()
    living = [one.cpu_times() for one in process.children(recursive=True)]
    return ended.children_user + ended.children_system + sum(one.user + one.system for one in living)


if __name__ == "__main__":
    main()
