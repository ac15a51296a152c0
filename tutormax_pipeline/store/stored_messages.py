"""How many messages were ever stored: what tells one state of a record table from the next."""

from __future__ import annotations

from sqlalchemy import func, select

from queue_core.channels import Channel
from queue_core.outcomes import Outcome
from tutormax_pipeline.store.store import Store
from tutormax_pipeline.store.tables import ledger_totals, message_ledger


def messages_stored(store: Store, channel: Channel) -> int:
    """Messages of the channel that were stored, those included whose ledger rows were pruned.

    Grows with every message that may have changed a row, whoever drained it, and with nothing else.

    Raises:
        StoreUnavailableError: the database is away.
    """
    kept = (
        select(func.count())
        .select_from(message_ledger)
        .where(message_ledger.c.channel == channel.name, message_ledger.c.outcome == Outcome.STORED)
    )
    pruned = select(func.coalesce(func.sum(ledger_totals.c.entries), 0)).where(
        ledger_totals.c.channel == channel.name, ledger_totals.c.outcome == Outcome.STORED
    )
    # One statement, so that what is pruned meanwhile is counted once.
    ((stored,),) = store.read(select(kept.scalar_subquery() + pruned.scalar_subquery()))
    return int(stored)
