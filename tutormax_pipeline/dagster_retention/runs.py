"""Which runs go, and how a run is removed with everything that belongs to it."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable

from tutormax_pipeline.dagster_retention.storage import index_connection

#: The newest runs of each job stay at any age: a plot in Dagster's UI shows about as many points.
NEWEST_KEPT = 100
#: Records that are read at once.
_PAGE = 200

_SUCCEEDED = [dg.DagsterRunStatus.SUCCESS]
_FAILED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dataclass(frozen=True, slots=True)
class Retention:
    """For how long runs are kept.

    Attributes:
        days: those that succeeded, and what is of no run; 0: for ever.
        failed_days: those that failed or were canceled; 0: for ever.
        newest: runs of each job, and observations of each asset, that stay at any age.
    """

    days: int
    failed_days: int
    newest: int = NEWEST_KEPT


def prune_runs(
    instance: dg.DagsterInstance, retention: Retention, now: datetime, most: int
) -> dict[str, int]:
    """Remove the runs that are past their time, oldest first.

    A run in flight stays, and so do the newest of each job and those that the latest materialization of an
    asset, or the latest result of a check, is of.

    Args:
        instance: Dagster's.
        retention: how long runs are kept.
        now: the present, UTC.
        most: runs that are removed at most; what is left over is for the next time.

    Returns:
        How many were removed, by job.
    """
    # Chosen first, for the records are read page by page, and a page begins at the record before it.
    past = list(islice(_past(instance, retention, now), most))
    for run in past:
        remove_run(instance, run.run_id)
    return dict(Counter(run.job_name for run in past))


def remove_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove a run that has ended: events, files, then its record.

    The record goes last, other than with ``instance.delete_run``: cut short, the run is still there to be
    found, and is removed again. In SQLite each run's events are a file of its own; Dagster only empties it.
    """
    events = instance.event_log_storage
    events.delete_events(run_id)
    if isinstance(events, SqliteEventLogStorage):
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{events.path_for_shard(run_id)}{suffix}").unlink(missing_ok=True)
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    if not instance.is_ephemeral:
        shutil.rmtree(Path(instance.storage_directory()) / run_id, ignore_errors=True)
    instance.run_storage.delete_run(run_id)


def _past(instance: dg.DagsterInstance, retention: Retention, now: datetime) -> Iterator[dg.DagsterRun]:
    latest = _latest(instance)
    newest: dict[str, set[str]] = {}
    for statuses, days in ((_SUCCEEDED, retention.days), (_FAILED, retention.failed_days)):
        if not days:
            continue
        for run in _ended(instance, statuses, now - timedelta(days=days)):
            if run.job_name not in newest:
                of_job = dg.RunsFilter(job_name=run.job_name)
                newest[run.job_name] = set(instance.get_run_ids(of_job, limit=retention.newest))
            if run.run_id not in latest and run.run_id not in newest[run.job_name]:
                yield run


def _ended(
    instance: dg.DagsterInstance, statuses: list[dg.DagsterRunStatus], before: datetime
) -> Iterator[dg.DagsterRun]:
    chosen, cursor = dg.RunsFilter(statuses=statuses, updated_before=before), None
    while page := instance.get_runs(chosen, cursor=cursor, limit=_PAGE, ascending=True):
        yield from page
        cursor = page[-1].run_id


def _latest(instance: dg.DagsterInstance) -> set[str]:
    found = set()
    for key in instance.all_asset_keys():
        event = instance.get_latest_materialization_event(key)
        if event is not None:
            found.add(event.run_id)
    checks = AssetCheckExecutionsTable.c
    newest = sa.select(sa.func.max(checks.id)).group_by(checks.asset_key, checks.check_name)
    with index_connection(instance) as connection:
        found |= set(connection.scalars(sa.select(checks.run_id).where(checks.id.in_(newest))))
    return found
