"""All of it in one turn, with a report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import dagster as dg

from tutormax_pipeline.dagster_retention.disk import compact, storage_bytes
from tutormax_pipeline.dagster_retention.events import RemovedEvents, prune_events
from tutormax_pipeline.dagster_retention.runs import Retention, prune_runs

#: Rows of observations, and of results of checks, that one turn removes: seconds of work.
_MOST_EVENTS = 200_000


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What one turn did.

    Attributes:
        runs: removed, by job.
        events: removed observations and results of checks.
        compacted: files of SQLite that were written anew.
        bytes_before: size of the storage before.
        bytes_after: size of the storage after it.
    """

    runs: dict[str, int]
    events: RemovedEvents
    compacted: list[str]
    bytes_before: int
    bytes_after: int


def prune_dagster(
    instance: dg.DagsterInstance, retention: Retention, now: datetime, most_runs: int
) -> PruneReport:
    """Remove what is past its time; may be cut short, and begun again.

    Args:
        instance: Dagster's.
        retention: for how long what is kept.
        now: the present, UTC.
        most_runs: runs that are removed at most.
    """
    before = storage_bytes(instance)
    runs = prune_runs(instance, retention, now, most_runs)
    events = prune_events(instance, retention, now, _MOST_EVENTS)
    compacted = compact(instance)
    return PruneReport(runs, events, compacted, before, storage_bytes(instance))
