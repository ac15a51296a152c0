"""The tables: one for each channel's records, and the ledger.

A record's table has a column for each field of its class, ``extra`` for the fields that are not
listed, and the lineage of the row's newest message.
"""

from __future__ import annotations

import types
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from queue_core.channels import Channel, QueueChannels
from tutormax_pipeline.records import record_class


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time: aware and in UTC in Python, without an offset in SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """From the database."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


#: JSON, as text in SQLite, and in PostgreSQL so that queries look into it.
Json = JSON().with_variant(JSONB(), "postgresql")

#: Columns that every record's table ends with: the message from which the row was made.
LINEAGE = ("message_id", "entry_id", "run_id", "published_at", "stored_at")

metadata = MetaData()

message_ledger = Table(
    "message_ledger",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("entry_id", Text, primary_key=True, comment="entry in the channel's stream"),
    Column("message_id", Text, comment="the envelope's id; empty where it could not be read"),
    Column("outcome", Text, nullable=False, comment="final state of the entry"),
    Column("reason", Text, comment="why it is a dead letter"),
    Column("deliveries", Integer, nullable=False, comment="how often it was delivered until then"),
    Column("run_id", Text, nullable=False, comment="the Dagster run that recorded it"),
    Column("published_at", UtcDateTime, comment="the envelope's timestamp"),
    Column("recorded_at", UtcDateTime, nullable=False),
)

#: At most one stored entry for each message: the effect happens once.
Index(
    "message_ledger_stored_once",
    message_ledger.c.channel,
    message_ledger.c.message_id,
    unique=True,
    sqlite_where=text("outcome = 'stored'"),
    postgresql_where=text("outcome = 'stored'"),
)

ledger_totals = Table(
    "ledger_totals",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("entries", BigInteger, nullable=False, comment="ledger rows that were pruned"),
)

book_adjustments = Table(
    "book_adjustments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("entries", BigInteger, nullable=False, comment="added to the entries that the stream ever had"),
    Column("why", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
)

stream_sightings = Table(
    "stream_sightings",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("entries_added", BigInteger, nullable=False, comment="entries the stream had ever had"),
    Column("last_entry_id", Text, nullable=False, comment="entries added later have larger ids"),
    Column("seen_at", UtcDateTime, nullable=False),
)

letter_archive = Table(
    "letter_archive",
    metadata,
    Column("letter_id", Text, primary_key=True, comment="the letter in the dead letter stream"),
    Column("action", Text, primary_key=True, comment="discarded or edited"),
    Column("channel", Text, nullable=False),
    Column("entry_id", Text, nullable=False, comment="its entry in the channel's stream"),
    Column("message_id", Text),
    Column("reason", Text, nullable=False, comment="why it was a dead letter"),
    Column("errors", Json, nullable=False),
    Column("body", LargeBinary, comment="the bytes received; empty where the entry had no message"),
    Column("fields", Json, nullable=False, comment="the letter's other fields: [name, value], in base64"),
    Column("failed_at", UtcDateTime, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("archived_at", UtcDateTime, nullable=False),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("letter_id", Text, primary_key=True, comment="The letter in the dead letter stream."),
    Column("channel", Text, nullable=False, comment="Where its message came from."),
    Column("entry_id", Text, nullable=False, comment="Its entry in the channel's stream."),
    Column("message_id", Text, comment="The envelope's id; empty where it could not be read."),
    Column("reason", Text, nullable=False, comment="Why it is a dead letter."),
    Column("field", Text, nullable=False, comment="What its first error names; * in place of an index."),
    Column("error", Text, nullable=False, comment="What its first error says."),
    Column("deliveries", BigInteger, nullable=False, comment="How often it was delivered."),
    Column("redrives", BigInteger, nullable=False, comment="How often it was redriven before."),
    Column("failed_at", UtcDateTime, nullable=False, comment="When it was given up, UTC."),
    Column("taken_at", UtcDateTime, nullable=False, comment="When stock was taken, UTC."),
    comment="The dead letters that were there when stock was last taken; nothing of their messages.",
)


tutor_performance = Table(
    "tutor_performance",
    metadata,
    Column("tutor_id", Text, primary_key=True, comment="Identifies the tutor."),
    Column("sessions_held", BigInteger, nullable=False, comment="Completed, or ended where no status is."),
    Column("hours", Float(53), comment="Hours of sessions held, of those whose length is known."),
    Column("no_shows", BigInteger, nullable=False, comment="Sessions to which nobody came."),
    Column("cancellations", BigInteger, nullable=False, comment="Sessions called off."),
    Column("no_show_rate", Float(53), comment="No-shows / (held + no-shows), 0 to 1."),
    Column(
        "cancellation_rate", Float(53), comment="Cancellations / (held + no-shows + cancellations), 0 to 1."
    ),
    Column("rating_count", BigInteger, nullable=False, comment="Ratings that students gave."),
    Column("rating_mean", Float(53), comment="Their mean, 1 to 5."),
    Column(
        "rating_shrunken",
        Float(53),
        comment="Their mean, drawn to the mean of all ratings the fewer they are: for ranking.",
    ),
    Column("sentiment_count", BigInteger, nullable=False, comment="Feedback whose sentiment is known."),
    Column("positive_share", Float(53), comment="Share of it that is positive, 0 to 1."),
    Column("neutral_share", Float(53), comment="Share of it that is neutral, 0 to 1."),
    Column("negative_share", Float(53), comment="Share of it that is negative, 0 to 1."),
    Column("last_session_at", UtcDateTime, comment="Start of the last session held, UTC."),
    Column("calculated_at", UtcDateTime, nullable=False, comment="Figures are as of then, UTC."),
    comment="One row for each tutor that a profile, a session or a feedback names.",
)


@cache
def record_table(channel: Channel) -> Table:
    """The table of a channel's records, made from the fields of its record class."""
    fields = record_class(channel).model_fields
    return Table(
        channel.name,
        metadata,
        *(_column(name, field, primary_key=name == channel.id_field) for name, field in fields.items()),
        Column("extra", Json, comment="Fields that the record does not list, as received."),
        Column("message_id", Text, nullable=False, comment="Message from which this row was made."),
        Column("entry_id", Text, nullable=False, comment="Its entry in the stream."),
        Column("run_id", Text, nullable=False, comment="The Dagster run that stored it."),
        Column("published_at", UtcDateTime, nullable=False, comment="When it was published, UTC."),
        Column("stored_at", UtcDateTime, nullable=False, comment="When it was stored, UTC."),
        comment=channel.purpose,
    )


def all_tables() -> MetaData:
    """Every table, those of all channels included."""
    for channel in QueueChannels.all():
        record_table(channel)
    return metadata


def _column(name: str, field: FieldInfo, *, primary_key: bool) -> Column[Any]:
    return Column(
        name,
        _column_type(field.annotation),
        primary_key=primary_key,
        nullable=not field.is_required(),
        comment=field.description,
    )


def _column_type(annotation: Any) -> TypeEngine[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        (annotation,) = [one for one in get_args(annotation) if one is not types.NoneType]
    if hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    origin = get_origin(annotation) or annotation
    if origin is Literal:
        return Text()
    simple: dict[Any, TypeEngine[Any]] = {
        str: Text(),
        float: Float(53),
        int: BigInteger(),
        bool: Boolean(),
        datetime: UtcDateTime(),
        list: Json,
        dict: Json,
    }
    return simple[origin]
