"""Opening the Dagster instance of a home: one process at a time, and its errors as one line each.

Dagster makes the tables of a new home when it is opened first. Two processes that do so at once fail, or
leave tables behind that no version of Dagster can use.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from queue_core.errors import ConfigurationError
from tutormax_pipeline.home import alone_in

if TYPE_CHECKING:
    import dagster as dg


class InstanceError(ConfigurationError):
    """The Dagster instance cannot be opened.

    Args:
        summary: what is wrong, in one sentence.
        remedy: what to do about it.
        check: the doctor's name for it.
    """

    def __init__(self, summary: str, remedy: str, check: str = "dagster_yaml") -> None:
        super().__init__(f"{summary} {remedy}")
        self.summary, self.remedy, self.check = summary, remedy, check


def open_instance(home: Path) -> dg.DagsterInstance:
    """The instance of a home, its tables made.

    Args:
        home: the folder, as DAGSTER_HOME has it.

    Raises:
        InstanceError: it cannot be opened.
    """
    if not home.is_absolute() or not home.is_dir():
        raise InstanceError(f"DAGSTER_HOME: {home} is no folder.", "Give the absolute path of one.")
    import dagster as dg  # noqa: PLC0415 - takes a second

    try:
        with alone_in(home):
            instance = dg.DagsterInstance.from_config(str(home))
            try:
                # Each makes its tables when it is looked at first.
                _ = instance.run_storage, instance.event_log_storage, instance.schedule_storage
            except BaseException:
                instance.dispose()
                raise
    except Exception as error:  # noqa: BLE001 - whatever it is, somebody has to mend it
        raise _explained(error, home) from None
    return instance


def _explained(error: Exception, home: Path) -> InstanceError:
    from alembic.util import CommandError  # noqa: PLC0415 - Dagster has loaded it

    words = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    summary = f"Dagster's instance in {home} does not load: {words}."
    if isinstance(error, OperationalError | OSError):
        return InstanceError(
            summary,
            f"Check the rights and the room there, and what {home / 'dagster.yaml'} names as storage.",
        )
    if isinstance(error, CommandError | SQLAlchemyError):
        return InstanceError(
            summary,
            f"Stop what uses it and move history, storage and schedules out of {home}: Dagster makes them "
            "anew, without its past runs; messages and tables are not touched.",
            check="dagster_storage",
        )
    return InstanceError(summary, f"Mend {home / 'dagster.yaml'}; renamed, 'tutormax up' writes a new one.")
