"""Rows that the contract allows and that are hardly true: a session of thirteen hours, for example."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, and_, case, func, literal, or_, select

from queue_core.channels import Channel, QueueChannels
from tutormax_pipeline.store.store import Store
from tutormax_pipeline.store.tables import UtcDateTime, record_table

#: What is unusual, in words, and how it is found.
Rules: TypeAlias = dict[str, ColumnElement[bool]]

#: Longest session, and most sessions of a tutor, that are believed.
_LONGEST_MINUTES = 12 * 60
_MOST_SESSIONS = 50_000
#: How far the clocks of services may go ahead.
_CLOCK_AHEAD = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Unusual:
    """Rows of one table that are unusual in the same way.

    Attributes:
        what: in which way, in words.
        rows: how many there are.
        ids: primary keys of some of them.
    """

    what: str
    rows: int
    ids: tuple[str, ...]


def unusual_rows(store: Store, channel: Channel, now: datetime, most_ids: int) -> list[Unusual]:
    """Look through a channel's table once; ids are looked for only where there is something to name.

    Args:
        store: the tables.
        channel: whose table.
        now: the present, UTC.
        most_ids: how many ids to name in each way.

    Raises:
        StoreUnavailableError: the database is away.
    """
    rules = unusual_rules(channel, now)
    counts: list[Any] = [func.count(case((rule, 1))) for rule in rules.values()]
    (found,) = store.read(select(*counts))
    key = record_table(channel).c[channel.id_field]
    return [
        Unusual(what, rows, tuple(one for (one,) in store.read(select(key).where(rule).limit(most_ids))))
        for (what, rule), rows in zip(rules.items(), found, strict=True)
        if rows
    ]


def unusual_rules(channel: Channel, now: datetime) -> Rules:
    """What is unusual in a channel's table, in words, and how it is found."""
    row = record_table(channel).c
    future = literal(now + _CLOCK_AHEAD, UtcDateTime)
    own = _RULES[channel](row, future) if channel in _RULES else {}
    # A row from the future is not updated before that future has come: an older message never wins.
    return {**own, "published in the future": row.published_at > future}


def _tutors(row: Any, _: Any) -> Rules:
    return {f"more than {_MOST_SESSIONS:,} sessions": row.sessions_count > _MOST_SESSIONS}


def _sessions(row: Any, future: Any) -> Rules:
    held = row.status == "completed"
    return {
        f"longer than {_LONGEST_MINUTES // 60} hours": row.duration_minutes > _LONGEST_MINUTES,
        "ends before it starts": row.ended_at < row.started_at,
        "completed, and ends in the future": and_(held, row.ended_at > future),
        "completed without participants": and_(held, row.participants == 0),
        "engagement in a session that was not held": and_(
            row.status.in_(["cancelled", "no_show"]), row.engagement > 0
        ),
    }


def _feedback(row: Any, future: Any) -> Rules:
    return {
        "submitted in the future": row.submitted_at > future,
        "rating and sentiment contradict each other": or_(
            and_(row.rating <= 2, row.sentiment == "positive"),
            and_(row.rating >= 4, row.sentiment == "negative"),
        ),
    }


_RULES: dict[Channel, Callable[[Any, Any], Rules]] = {
    QueueChannels.TUTORS: _tutors,
    QueueChannels.SESSIONS: _sessions,
    QueueChannels.FEEDBACK: _feedback,
}
