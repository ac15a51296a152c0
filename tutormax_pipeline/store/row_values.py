"""The values of a row and of a ledger row, in the order of the table's columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import JSON

from queue_core.channels import Channel
from tutormax_pipeline.store.arrival import Arrival, Settlement
from tutormax_pipeline.store.tables import LINEAGE, UtcDateTime, record_table

#: How a database reads a point in time.
AsText = Callable[[datetime], str]


class RowValues:
    """Makes the rows of one channel's table.

    Args:
        channel: the channel.
        as_text: how its database reads a point in time.
    """

    def __init__(self, channel: Channel, as_text: AsText) -> None:
        table = record_table(channel)
        names = [column.name for column in table.c if column.name not in (*LINEAGE, "extra")]
        kinds: dict[type, Callable[[Any], str]] = {JSON: as_json, UtcDateTime: as_text}
        self._converters = [
            (place, kinds[type(table.c[name].type)])
            for place, name in enumerate(names)
            if type(table.c[name].type) in kinds
        ]
        self._fields: Callable[[Any], tuple[Any, ...]] = itemgetter(*names)
        self._as_text = as_text

    def rows(self, arrivals: Iterable[Arrival], run_id: str, stored_at: datetime) -> Iterator[Sequence[Any]]:
        """A row for each arrival; each has a message and a record."""
        fields, converters, as_text = self._fields, self._converters, self._as_text
        stored = as_text(stored_at)
        for entry, message, record, _ in arrivals:
            assert message is not None and record is not None  # noqa: S101, PT018 - only messages are stored
            row = list(fields(record.__dict__))
            for place, convert in converters:
                if row[place] is not None:
                    row[place] = convert(row[place])
            extra = record.__pydantic_extra__
            row.append(as_json(extra) if extra else None)
            row += (message.id, entry.id, run_id, as_text(message.published_at), stored)
            yield row


def ledger_rows(
    channel: Channel, settlements: Iterable[Settlement], run_id: str, recorded_at: datetime, as_text: AsText
) -> Iterator[Sequence[Any]]:
    """A ledger row for each final state that is new."""
    recorded = as_text(recorded_at)
    for (entry, message, _, _), outcome, rejection, repeated in settlements:
        if repeated:
            continue
        source = message or rejection
        identity = (
            message.id if message is not None else rejection.message_id if rejection is not None else None
        )
        published_at = source.published_at if source is not None else None
        yield (
            channel.name,
            entry.id,
            identity,
            outcome.value,
            rejection.reason.value if rejection is not None else None,
            entry.deliveries,
            run_id,
            as_text(published_at) if published_at is not None else None,
            recorded,
        )


def as_json(value: object) -> str:
    """The text of a JSON column."""
    return orjson.dumps(value).decode()
