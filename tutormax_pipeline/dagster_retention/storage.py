"""Dagster's tables of events, for what its interface offers no way to remove."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import cast

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log import SqlEventLogStorage

#: What Dagster writes in place of a run's id into an event that is of no run.
RUNLESS = ""


def index_connection(instance: dg.DagsterInstance) -> AbstractContextManager[sa.Connection]:
    """A transaction on the events of all runs; in SQLite these are copies of those that concern assets."""
    storage = cast("SqlEventLogStorage", instance.event_log_storage)
    return storage.index_connection()


def runless_connection(instance: dg.DagsterInstance) -> AbstractContextManager[sa.Connection]:
    """A transaction on the events of no run: the same table again, but for SQLite a file of its own."""
    storage = cast("SqlEventLogStorage", instance.event_log_storage)
    return storage.run_connection(RUNLESS)
