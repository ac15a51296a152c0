"""How many entries ever reached each final state, those that were pruned from the ledger included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, union_all

from queue_core.outcomes import Outcome
from tutormax_pipeline.store.store import Store
from tutormax_pipeline.store.tables import ledger_totals, message_ledger


def settled_ever(store: Store) -> dict[tuple[str, Outcome], int]:
    """Entries by channel and final state, as of one instant; those of which there are none are left out.

    Never falls, as pruning moves rows into totals in one transaction. Costs a walk through the ledger.

    Raises:
        StoreUnavailableError: the database is away.
    """
    ledger, totals = message_ledger.c, ledger_totals.c
    parts = union_all(
        select(ledger.channel, ledger.outcome, func.count().label("entries")).group_by(
            ledger.channel, ledger.outcome
        ),
        select(totals.channel, totals.outcome, totals.entries),
    ).subquery()
    query = select(parts.c.channel, parts.c.outcome, func.sum(parts.c.entries)).group_by(
        parts.c.channel, parts.c.outcome
    )
    found: Sequence[Any] = store.read(query)
    return {(channel, Outcome(outcome)): int(entries) for channel, outcome, entries in found}
