"""Feedback about a session or a tutor that the tables do not have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select

from queue_core.channels import QueueChannels
from tutormax_pipeline.store.store import Store
from tutormax_pipeline.store.tables import record_table


@dataclass(frozen=True, slots=True)
class UnknownReferences:
    """Feedback that points at nothing.

    Attributes:
        sessions: rows whose session is unknown; those that name none are not among them.
        tutors: rows whose tutor is unknown.
        feedback_ids: ids of some of either.
    """

    sessions: int
    tutors: int
    feedback_ids: tuple[str, ...]


def unknown_references(store: Store, most_ids: int) -> UnknownReferences:
    """Look through the feedback once: each row costs a look into two primary keys.

    Args:
        store: the tables.
        most_ids: how many ids to name.

    Raises:
        StoreUnavailableError: the database is away.
    """
    feedback = record_table(QueueChannels.FEEDBACK).c
    sessions, tutors = record_table(QueueChannels.SESSIONS), record_table(QueueChannels.TUTORS)
    no_session = and_(
        feedback.session_id.is_not(None),
        ~select(1).where(sessions.c.session_id == feedback.session_id).exists(),
    )
    no_tutor = ~select(1).where(tutors.c.tutor_id == feedback.tutor_id).exists()
    counts: list[Any] = [_count(no_session), _count(no_tutor)]
    (found,) = store.read(select(*counts))
    by_session, by_tutor = tuple(found)
    if not (by_session or by_tutor):
        return UnknownReferences(0, 0, ())
    named = select(feedback.feedback_id).where(or_(no_session, no_tutor)).limit(most_ids)
    return UnknownReferences(by_session, by_tutor, tuple(one for (one,) in store.read(named)))


def _count(condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return func.count(case((condition, 1)))
