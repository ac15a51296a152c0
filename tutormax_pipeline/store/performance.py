"""The table ``tutor_performance``: figures for each tutor, calculated anew from the three record tables.

All of it happens in the database, so memory stays flat whatever the tables hold. The calculation only
reads; drains go on meanwhile, and wait no longer than it takes to replace the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Float,
    MetaData,
    Select,
    Subquery,
    Table,
    Text,
    and_,
    case,
    cast,
    delete,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    union_all,
)

from queue_core.channels import QueueChannels
from queue_core.failpoints import around
from tutormax_pipeline.store.database import PURPOSE, Purpose
from tutormax_pipeline.store.errors import store_errors
from tutormax_pipeline.store.minutes_between import MinutesBetween
from tutormax_pipeline.store.store import Store
from tutormax_pipeline.store.tables import UtcDateTime, record_table
from tutormax_pipeline.store.tables import tutor_performance as table

#: The shrunken mean counts each tutor's ratings together with so many at the mean of all ratings. With 10,
#: a single 5 moves a tutor by a tenth of the way or so; after some 30 a tutor's own ratings decide.
PRIOR_RATINGS = 10

_FLOAT = Float(53)
_STREAMED_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class PerformanceTotals:
    """The table as a whole.

    Attributes:
        tutors: rows.
        rated_tutors: of these, those with a rating.
        sessions_held: of all tutors.
        hours: of all tutors; None where no length is known.
        no_show_rate: of all tutors, 0 to 1; None where no session took place or was to.
        cancellation_rate: likewise.
        rating_count: ratings of all tutors.
        rating_mean: their mean, to which the shrunken means are drawn; None without ratings.
    """

    tutors: int
    rated_tutors: int
    sessions_held: int
    hours: float | None
    no_show_rate: float | None
    cancellation_rate: float | None
    rating_count: int
    rating_mean: float | None


def refresh_performance(store: Store) -> bool:
    """Calculate every row anew, and replace the table in one transaction.

    Returns:
        Whether the table was replaced; not where another refresh looked later and was faster.

    Raises:
        StoreUnavailableError: the table is as it was.
    """
    with store_errors(store.address), store.engine.connect() as connection:
        looked_at = datetime.now(UTC)
        try:
            with connection.begin():
                _scratch.create(connection)
                connection.execute(insert(_scratch).from_select(list(_scratch.c), _calculation()))
            connection.execution_options(**{PURPOSE: Purpose.ALONE})
            with around("refresh_performance"), connection.begin():
                return _replace(connection, looked_at)
        finally:
            # The scratch table lasts as long as the connection, and so this one is not used again.
            connection.invalidate()


def performance_totals(store: Store) -> PerformanceTotals:
    """The figures of all tutors together.

    Raises:
        StoreUnavailableError: the database is away.
    """
    held, no_shows, cancelled = (
        func.sum(column) for column in (table.c.sessions_held, table.c.no_shows, table.c.cancellations)
    )
    columns: list[ColumnElement[Any]] = [
        func.count(),
        func.count(table.c.rating_mean),
        cast(func.coalesce(held, 0), BigInteger),  # PostgreSQL's sums are decimals
        func.sum(table.c.hours),
        _share(no_shows, held + no_shows),
        _share(cancelled, held + no_shows + cancelled),
        cast(func.coalesce(func.sum(table.c.rating_count), 0), BigInteger),
        _share(func.sum(table.c.rating_mean * table.c.rating_count), func.sum(table.c.rating_count)),
    ]
    (row,) = store.read(select(*columns).select_from(table))
    return PerformanceTotals(*tuple(row))


def values(store: Store, column: str) -> Iterator[float]:
    """One figure of every tutor who has it, in no order, a few at a time.

    Raises:
        KeyError: there is no such column.
        StoreUnavailableError: the database is away.
    """
    wanted = table.c[column]
    query = select(wanted).where(wanted.is_not(None)).execution_options(yield_per=_STREAMED_ROWS)
    with (
        store_errors(store.address),
        store.engine.connect() as connection,
        closing(connection.execute(query)) as found,
    ):
        yield from found.scalars()


#: How much later a refresh may have looked than this one, and still be believed.
_MOST_CLOCK_ERROR = timedelta(hours=1)

#: The rows until they replace the others; a table that only this connection sees.
_scratch = Table(
    "fresh_tutor_performance",
    MetaData(),
    *(Column(column.name, column.type) for column in table.c if column.name != "calculated_at"),
    prefixes=["TEMPORARY"],
)


def _replace(connection: Connection, looked_at: datetime) -> bool:
    newest = connection.scalar(select(func.max(table.c.calculated_at)))
    # One from a future that no clock's error explains was written while a clock was wrong.
    if newest is not None and looked_at < newest < looked_at + _MOST_CLOCK_ERROR:
        return False
    connection.execute(delete(table))
    fresh = select(*_scratch.c, literal(looked_at, UtcDateTime()))
    connection.execute(insert(table).from_select([*_scratch.c.keys(), "calculated_at"], fresh))
    return True


def _calculation() -> Select[Any]:
    total = _totals()
    held, no_shows, cancelled = total.c.held, total.c.no_shows, total.c.cancelled
    everyone = record_table(QueueChannels.FEEDBACK).c.rating
    mean_of_all = select(func.avg(everyone)).scalar_subquery()
    shrunken = (total.c.rating_sum + PRIOR_RATINGS * mean_of_all) / (total.c.rating_count + PRIOR_RATINGS)
    sentiments = total.c.positive + total.c.neutral + total.c.negative
    figures: dict[str, ColumnElement[Any]] = {
        "tutor_id": total.c.tutor_id,
        "sessions_held": held,
        "hours": total.c.minutes / 60.0,
        "no_shows": no_shows,
        "cancellations": cancelled,
        "no_show_rate": _share(no_shows, held + no_shows),
        "cancellation_rate": _share(cancelled, held + no_shows + cancelled),
        "rating_count": total.c.rating_count,
        "rating_mean": _share(total.c.rating_sum, total.c.rating_count),
        "rating_shrunken": shrunken,
        "sentiment_count": sentiments,
        "positive_share": _share(total.c.positive, sentiments),
        "neutral_share": _share(total.c.neutral, sentiments),
        "negative_share": _share(total.c.negative, sentiments),
        "last_session_at": total.c.last_session_at,
    }
    return select(*(figures[column.name] for column in _scratch.c))


def _totals() -> Subquery:
    # One sorted pass over what the three tables have to say, where joins would need an index on each.
    tutors, sessions, feedback = (
        record_table(channel).c
        for channel in (QueueChannels.TUTORS, QueueChannels.SESSIONS, QueueChannels.FEEDBACK)
    )
    held = or_(
        sessions.status == "completed", and_(sessions.status.is_(None), sessions.ended_at.is_not(None))
    )
    length = MinutesBetween(sessions.started_at, sessions.ended_at)
    minutes = func.coalesce(sessions.duration_minutes, case((length >= 0, length)))
    start = func.coalesce(sessions.started_at, sessions.scheduled_start, sessions.ended_at)
    parts = [
        _contribution(tutors.tutor_id),
        _contribution(
            sessions.tutor_id,
            held=_one_where(held),
            no_shows=_one_where(sessions.status == "no_show"),
            cancelled=_one_where(sessions.status == "cancelled"),
            minutes=case((held, minutes)),
            last_session_at=case((held, start)),
        ),
        _contribution(
            feedback.tutor_id,
            rating=feedback.rating,
            **{name: _one_where(feedback.sentiment == name) for name in ("positive", "neutral", "negative")},
        ),
    ]
    each = union_all(*parts).subquery()
    counted = ("held", "no_shows", "cancelled", "positive", "neutral", "negative")
    return (
        select(
            each.c.tutor_id,
            *(cast(func.sum(each.c[name]), BigInteger).label(name) for name in counted),
            func.sum(each.c.minutes).label("minutes"),
            func.max(each.c.last_session_at).label("last_session_at"),
            func.sum(each.c.rating).label("rating_sum"),
            func.count(each.c.rating).label("rating_count"),
        )
        .group_by(each.c.tutor_id)
        .subquery()
    )


#: What each table contributes to a tutor's figures, where it has nothing to say of one.
_NOTHING: dict[str, ColumnElement[Any]] = {
    **{
        name: literal(0, BigInteger())
        for name in ("held", "no_shows", "cancelled", "positive", "neutral", "negative")
    },
    "minutes": cast(null(), _FLOAT),
    "last_session_at": cast(null(), UtcDateTime()),
    "rating": cast(null(), _FLOAT),
}


def _contribution(tutor_id: ColumnElement[Any], **figures: ColumnElement[Any]) -> Select[Any]:
    return select(
        cast(tutor_id, Text).label("tutor_id"),
        *(figures.get(name, nothing).label(name) for name, nothing in _NOTHING.items()),
    )


def _one_where(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


def _share(part: ColumnElement[Any], whole: ColumnElement[Any]) -> ColumnElement[float]:
    return cast(part, _FLOAT) / func.nullif(whole, 0)
