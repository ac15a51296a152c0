"""What sensors keep about queues, and the results of checks: removed by age, the newest kept."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable

from tutormax_pipeline.dagster_retention.runs import Retention
from tutormax_pipeline.dagster_retention.storage import RUNLESS, index_connection, runless_connection

#: Rows removed in one transaction: whoever writes meanwhile waits for milliseconds.
_CHUNK = 1_000

_events = SqlEventLogStorageTable.c
_results = AssetCheckExecutionsTable.c
_OBSERVATION = dg.DagsterEventType.ASSET_OBSERVATION.value
_EVALUATION = dg.DagsterEventType.ASSET_CHECK_EVALUATION.value


@dataclass(frozen=True, slots=True)
class RemovedEvents:
    """How many were removed.

    Attributes:
        observations: of queues, made by sensors.
        check_results: of asset checks, by runs and sensors.
    """

    observations: int
    check_results: int


def prune_events(
    instance: dg.DagsterInstance, retention: Retention, now: datetime, most: int
) -> RemovedEvents:
    """Remove observations and results of checks that are of no run, and the results that removed runs left.

    The newest observations of each asset, as many as a plot shows, and the last result of each check stay.

    Args:
        instance: Dagster's.
        retention: how long they are kept.
        now: the present, UTC.
        most: rows of each kind that are removed at most; what is left over is for the next time.
    """
    if not retention.days:
        return RemovedEvents(0, 0)
    moment = (now - timedelta(days=retention.days)).astimezone(UTC).replace(tzinfo=None)
    observations = 0
    for asset_key in _observed(instance):
        old = _old_observations(asset_key, moment)
        with index_connection(instance) as connection:
            newest = sa.select(_events.timestamp).where(
                _events.dagster_event_type == _OBSERVATION, _events.asset_key == asset_key
            )
            bound = connection.scalar(
                newest.order_by(_events.id.desc()).offset(retention.newest - 1).limit(1)
            )
        if bound is None:
            continue
        kept = old & (_events.timestamp < bound)
        observations += _remove_events(instance, kept, most - observations)
    evaluations = (
        (_events.run_id == RUNLESS)
        & (_events.dagster_event_type == _EVALUATION)
        & (_events.timestamp < moment)
    )
    _remove_events(instance, evaluations, most)
    last = sa.select(sa.func.max(_results.id)).group_by(_results.asset_key, _results.check_name)
    past = (_results.create_timestamp < moment) & _results.id.not_in(last)
    results = _remove(partial(index_connection, instance), AssetCheckExecutionsTable, past, most)
    return RemovedEvents(observations, results)


def _observed(instance: dg.DagsterInstance) -> list[str]:
    with index_connection(instance) as connection:
        query = sa.select(_events.asset_key).where(_events.dagster_event_type == _OBSERVATION).distinct()
        return list(connection.scalars(query))


def _old_observations(asset_key: str, moment: datetime) -> sa.ColumnElement[bool]:
    return (
        (_events.run_id == RUNLESS)
        & (_events.dagster_event_type == _OBSERVATION)
        & (_events.asset_key == asset_key)
        & (_events.timestamp < moment)
    )


def _remove_events(instance: dg.DagsterInstance, chosen: sa.ColumnElement[bool], most: int) -> int:
    """Remove events from both places; in PostgreSQL they are one, and nothing is left for the second time."""
    removed = [
        _remove(partial(connect, instance), SqlEventLogStorageTable, chosen, most)
        for connect in (runless_connection, index_connection)
    ]
    return max(removed)


def _remove(
    connect: Callable[[], AbstractContextManager[sa.Connection]],
    table: sa.Table,
    chosen: sa.ColumnElement[bool],
    most: int,
) -> int:
    removed = 0
    while removed < most:
        with connect() as connection:
            some = sa.select(table.c.id).where(chosen).limit(min(_CHUNK, most - removed))
            ids = list(connection.scalars(some))
            connection.execute(sa.delete(table).where(table.c.id.in_(ids)))
        removed += len(ids)
        if len(ids) < _CHUNK:
            break
    return removed
