"""Pruning the ledger: old rows become totals, so that the books stay exact.

A message is known as a duplicate by the ledger row of its first entry. Once that is pruned, the same
message published again is stored again: its effect is still that of one message, for an older one
never overwrites a newer row, but the ledger then counts two stored. So duplicates are recognised
within the retention only.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from sqlalchemy import Connection, delete, select

from queue_core.channels import Channel
from queue_core.entry_id import EntryId
from queue_core.outcomes import Outcome
from tutormax_pipeline.store.entry_order import is_before
from tutormax_pipeline.store.store import Store
from tutormax_pipeline.store.tables import ledger_totals, message_ledger

#: Rows removed in one transaction: drains that wait for it are held up for some hundredths of a second.
STEP_ROWS = 2_000


def prune(store: Store, channel: Channel, *, recorded_before: datetime, oldest: EntryId) -> Counter[Outcome]:
    """Replace ledger rows by their counts in ``ledger_totals``.

    Rows go that were recorded before an instant and whose entry cannot be read any more. Those of lost
    entries stay for ever: they are evidence.

    Args:
        store: the store.
        channel: the channel.
        recorded_before: rows recorded then or later stay.
        oldest: rows of this entry and later ones stay; see ``Census.oldest``.

    Returns:
        How many rows were pruned, by final state.

    Raises:
        StoreUnavailableError: the database is away; what was pruned until then is counted.
    """
    total: Counter[Outcome] = Counter()
    while True:
        with store.transaction("prune_ledger") as connection:
            pruned = _step(store, connection, channel, recorded_before, oldest)
        total += pruned
        if pruned.total() < STEP_ROWS:
            return total


def _step(
    store: Store, connection: Connection, channel: Channel, recorded_before: datetime, oldest: EntryId
) -> Counter[Outcome]:
    ledger = message_ledger.c
    chosen = (
        select(ledger.entry_id)
        .where(
            ledger.channel == channel.name,
            ledger.outcome != Outcome.LOST.value,
            ledger.recorded_at < recorded_before,
            is_before(ledger.entry_id, oldest),
        )
        .order_by(ledger.entry_id)
        .limit(STEP_ROWS)
    )
    gone = (
        delete(message_ledger)
        .where(ledger.channel == channel.name, ledger.entry_id.in_(chosen))
        .returning(ledger.outcome)
    )
    pruned = Counter(Outcome(outcome) for outcome in connection.scalars(gone))
    for outcome, count in pruned.items():
        total = store.insert(ledger_totals).values(channel=channel.name, outcome=outcome.value, entries=count)
        connection.execute(
            total.on_conflict_do_update(
                index_elements=["channel", "outcome"],
                set_={"entries": ledger_totals.c.entries + total.excluded.entries},
            )
        )
    return pruned
