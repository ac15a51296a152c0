"""What Dagster's storage comes to after a year, with and without `maintain_dagster`.

    python -m benchmarks.retention                # SQLite, half a minute
    python -m benchmarks.retention --postgres     # on a PostgreSQL of its own

Real drains leave their records in a new instance; the retention is then tried as of a later day.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import dagster as dg
from rich.console import Console

from benchmarks.figures import Figure, table_of
from benchmarks.machine import Machine
from benchmarks.place import Place
from queue_core import MessagePublisher, QueueChannels
from tests.postgres import PASSWORD, PostgresServer
from tests.split.deployment import FILES
from tutormax_pipeline.dagster_retention.disk import storage_bytes
from tutormax_pipeline.dagster_retention.prune import prune_dagster
from tutormax_pipeline.dagster_retention.runs import Retention
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.defs.resources import QueueResource, StoreResource
from tutormax_pipeline.home import prepare_dagster_home
from tutormax_pipeline.settings import PipelineSettings

_TABLE_WIDTH = 120
#: Of `make day`.
_RUNS_A_DAY = 177
_KEPT = 10
_MB = 1024**2


@click.command(help="Measure what pruning Dagster's storage saves.")
@click.option("--runs", default=60, show_default=True, help="Real drains.")
@click.option("--postgres", is_flag=True, help="Keep Dagster's storage in PostgreSQL.")
def main(*, runs: int, postgres: bool) -> None:
    """Print the figures."""
    logging.disable()
    settings = PipelineSettings.load()
    console = Console()
    with Place.open() as place:
        machine = Machine.measured(place.folder)
        if postgres:
            with PostgresServer(place.folder / "postgres", durable=True) as server:
                figures = _measure(_on_postgres(place, server), place, settings, runs)
        else:
            local = PipelineSettings.load(home=place.folder / "home")
            figures = _measure(prepare_dagster_home(local), place, settings, runs)
    console.width = max(console.width, _TABLE_WIDTH)
    console.print(table_of(figures, str(machine)))


def _on_postgres(place: Place, server: PostgresServer) -> Path:
    home = place.folder / "dagster"
    home.mkdir()
    shutil.copy(FILES / "dagster.yaml", home)
    os.environ |= {
        "DAGSTER_POSTGRES_HOST": "127.0.0.1",
        "DAGSTER_POSTGRES_PORT": str(server.port),
        "DAGSTER_POSTGRES_USER": "postgres",
        "DAGSTER_POSTGRES_PASSWORD": PASSWORD,
        "DAGSTER_POSTGRES_DB": server.new_database(),
    }
    return home


def _measure(home: Path, place: Place, settings: PipelineSettings, runs: int) -> list[Figure]:
    retention = Retention(settings.dagster_retention_days, settings.dagster_failed_retention_days, _KEPT)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        _drain(instance, place, 2)  # the tables, and what is there once
        empty = storage_bytes(instance)
        _drain(instance, place, runs)
        full = storage_bytes(instance)
        later, began = datetime.now(UTC) + timedelta(days=retention.days + 1), time.monotonic()
        report = prune_dagster(instance, retention, later, runs * 2)
        removed, seconds = sum(report.runs.values()), time.monotonic() - began
    a_run = (full - empty) / runs
    return [
        Figure("runs' records made", runs),
        Figure("a run's records", a_run / 1024, "KB"),
        Figure("storage before", full / _MB, "MB"),
        Figure("storage after all but the newest were removed", report.bytes_after / _MB, "MB"),
        Figure("removing a run", 1000 * seconds / removed, "ms"),
        Figure("a year's runs, nothing removed", 365 * _RUNS_A_DAY * a_run / _MB, "MB"),
        Figure(
            f"the same, removed after {retention.days} days", retention.days * _RUNS_A_DAY * a_run / _MB, "MB"
        ),
    ]


def _drain(instance: dg.DagsterInstance, place: Place, runs: int) -> None:
    resources = {
        "queue": QueueResource(url=place.url, key_prefix="retention"),
        "store": StoreResource(url=f"sqlite:///{place.store('retention')}"),
    }
    job = defs.resolve_job_def("drain_feedback")
    with place.client("retention") as client:
        publisher = MessagePublisher(client)
        for number in range(runs):
            publisher.publish(
                QueueChannels.FEEDBACK, {"feedback_id": f"F{number}", "tutor_id": "T1", "rating": 4.0}
            )
            job.execute_in_process(instance=instance, resources=resources)


if __name__ == "__main__":
    main()
