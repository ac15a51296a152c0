"""The store's side of the books: what the ledger settled, adjustments, and what was seen last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, and_, case, cast, func, insert, literal, or_, select, union_all

from queue_core.census import Census
from queue_core.channels import Channel
from queue_core.entry_id import EntryId
from queue_core.outcomes import Outcome
from tutormax_pipeline.store.entry_order import is_before
from tutormax_pipeline.store.errors import store_errors
from tutormax_pipeline.store.given_texts import given_texts
from tutormax_pipeline.store.store import Store
from tutormax_pipeline.store.tables import (
    UtcDateTime,
    book_adjustments,
    ledger_totals,
    message_ledger,
    stream_sightings,
)


@dataclass(frozen=True, slots=True)
class LedgerFigures:
    """What the store knows of a channel's entries, as of one statement.

    Attributes:
        settled: ledger rows by final state, of the entries that did not wait.
        settled_since: of these, the ones newer than the earlier look.
        pruned: rows that were pruned, by final state.
        unsettled: of the pending entries, those that the ledger does not have.
        unsettled_since: of these, the ones newer than the earlier look.
        adjustments: sum of the adjustments.
        adjustments_made: their number.
        lost_unacknowledged: entries recorded as lost since the last adjustment.
        unburied: of the entries settled as dead-lettered, those still pending: their letter is to be written.
        letter_adjustments: sum of the adjustments of the dead letters.
        letter_adjustments_made: their number.
    """

    settled: dict[Outcome, int]
    settled_since: int
    pruned: dict[Outcome, int]
    unsettled: int
    unsettled_since: int
    adjustments: int
    adjustments_made: int
    lost_unacknowledged: int
    unburied: int
    letter_adjustments: int
    letter_adjustments_made: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """A channel's stream, or its dead letters, as a look at the books found them.

    Attributes:
        added: entries the stream had ever had; of the dead letters, those ever moved on.
        horizon: entries added later have larger ids.
        seen_at: when, UTC.
    """

    added: int
    horizon: EntryId
    seen_at: datetime


def letter_account(channel: Channel) -> str:
    """Under which the sightings and adjustments of a channel's dead letters are kept."""
    return f"{channel.name}:dead_letter"


def figures(store: Store, census: Census, since: EntryId) -> LedgerFigures:
    """Read everything in one statement, and so as of one instant, later than the census.

    Args:
        store: the store.
        census: the stream's side.
        since: the horizon of an earlier look.

    Raises:
        StoreUnavailableError: the database is away.
    """
    rows = _rows(store, _figures(census, since))
    settled = {Outcome(outcome): count for part, outcome, count, _ in rows if part == "settled"}
    pruned = {Outcome(outcome): count for part, outcome, count, _ in rows if part == "pruned"}
    single = {part: (count, more) for part, _, count, more in rows if part not in ("settled", "pruned")}
    return LedgerFigures(
        settled=settled,
        settled_since=sum(more for part, _, _, more in rows if part == "settled"),
        pruned=pruned,
        unsettled=single["pending"][0],
        unsettled_since=single["pending"][1],
        adjustments=single["adjusted"][0],
        adjustments_made=single["adjusted"][1],
        lost_unacknowledged=single["lost"][0],
        unburied=single["unburied"][0],
        letter_adjustments=single["letters_adjusted"][0],
        letter_adjustments_made=single["letters_adjusted"][1],
    )


def not_in_ledger(store: Store, channel: Channel, entry_ids: Sequence[str]) -> list[str]:
    """Which of some entries the ledger does not have, in the order given."""
    given = given_texts(entry_ids)
    missing = {
        entry_id for (entry_id,) in _rows(store, select(given.c.value).where(~_recorded(channel, given)))
    }
    return [entry_id for entry_id in entry_ids if entry_id in missing]


def sighting(store: Store, account: Channel | str) -> Sighting | None:
    """What the last look found of a channel, or of its :func:`letter_account`; None before the first one."""
    seen = stream_sightings.c
    query = select(seen.entries_added, seen.last_entry_id, seen.seen_at).where(seen.channel == str(account))
    for added, horizon, seen_at in _rows(store, query):
        return Sighting(added, EntryId.parse(horizon), seen_at)
    return None


def remember(store: Store, account: Channel | str, seen: Sighting) -> None:
    """Keep what a look found of a channel, or of its :func:`letter_account`, for the next one.

    Raises:
        StoreUnavailableError: the database is away.
    """
    values = {
        "entries_added": seen.added,
        "last_entry_id": str(seen.horizon),
        "seen_at": seen.seen_at,
    }
    statement = store.insert(stream_sightings).values(channel=str(account), **values)
    with store.transaction("remember_sighting") as connection:
        connection.execute(statement.on_conflict_do_update(index_elements=["channel"], set_=values))


def adjust(
    store: Store,
    account: Channel | str,
    entries: int,
    *,
    who: str,
    why: str,
    recorded_at: datetime,
    adjustments_made: int,
) -> bool:
    """Record an adjustment for ever; not where another was recorded meanwhile.

    Args:
        store: the store.
        account: the channel, or its :func:`letter_account`.
        entries: added to the entries that the stream ever had, or to its dead letters; 0 acknowledges
            recorded losses.
        who: who answers for it.
        why: why it is right.
        recorded_at: now.
        adjustments_made: how many there were when the books were looked at.

    Returns:
        Whether it was recorded; if not, look again.
    """
    table = book_adjustments
    made = select(func.count()).where(table.c.channel == str(account)).scalar_subquery()
    row = select(
        literal(str(account)),
        literal(entries),
        literal(why),
        literal(who),
        literal(recorded_at, UtcDateTime),
    ).where(made == adjustments_made)
    columns = ["channel", "entries", "why", "who", "recorded_at"]
    with store.transaction("adjust_books") as connection:
        recorded = insert(table).from_select(columns, row).returning(table.c.id)
        return connection.execute(recorded).first() is not None


def _figures(census: Census, since: EntryId) -> Any:
    ledger, channel, name = message_ledger.c, census.channel, census.channel.name
    adjusted = book_adjustments.c
    last_adjustment = select(func.max(adjusted.recorded_at)).where(adjusted.channel == name).scalar_subquery()
    given = given_texts(census.pending)
    before = census.settled_before
    # An entry of an older state of the stream, or of one that was deleted: newer than the newest that the
    # stream now knows of, and yet older than the look.
    foreign = and_(
        ~is_before(ledger.entry_id, census.newest.following),
        is_before(ledger.entry_id, EntryId(census.taken_ms, 0)),
    )
    return union_all(
        select(literal("settled"), ledger.outcome, func.count(), _newer(ledger.entry_id, since))
        .where(ledger.channel == name, or_(is_before(ledger.entry_id, before), foreign))
        .group_by(ledger.outcome),
        select(literal("pruned"), ledger_totals.c.outcome, ledger_totals.c.entries, literal(0)).where(
            ledger_totals.c.channel == name
        ),
        select(literal("pending"), literal(""), func.count(), _newer(given.c.value, since)).where(
            is_before(given.c.value, before), ~_recorded(channel, given)
        ),
        select(literal("unburied"), literal(""), func.count(), literal(0)).where(
            is_before(given.c.value, before), _recorded(channel, given, Outcome.DEAD_LETTERED)
        ),
        *(
            select(
                literal(part),
                literal(""),
                # PostgreSQL's sums are decimals.
                cast(func.coalesce(func.sum(adjusted.entries), 0), BigInteger),
                func.count(),
            ).where(adjusted.channel == account)
            for part, account in (("adjusted", name), ("letters_adjusted", letter_account(channel)))
        ),
        select(literal("lost"), literal(""), func.count(), literal(0)).where(
            ledger.channel == name,
            ledger.outcome == Outcome.LOST.value,
            or_(last_adjustment.is_(None), ledger.recorded_at > last_adjustment),
        ),
    )


def _newer(entry_id: Any, since: EntryId) -> Any:
    return func.count(case((~is_before(entry_id, since.following), 1)))


def _recorded(channel: Channel, given: Any, *outcomes: Outcome) -> Any:
    ledger = message_ledger.c
    wanted = [ledger.outcome.in_([one.value for one in outcomes])] if outcomes else []
    return (
        select(literal(1))
        .where(ledger.channel == channel.name, ledger.entry_id == given.c.value, *wanted)
        .correlate(given)
        .exists()
    )


def _rows(store: Store, query: Any) -> list[Any]:
    with store_errors(store.address), store.engine.connect() as connection:
        return list(connection.execute(query))
