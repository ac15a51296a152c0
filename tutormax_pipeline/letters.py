"""The dead letters as the pipeline works on them: edited ones meet the contract, originals are kept."""

from __future__ import annotations

from queue_core import Channel, RedisClient
from queue_core.dead_letter import DeadLetters
from queue_core.outcomes import Message, Rejection
from tutormax_pipeline.records import record_class, validate
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.archive import StoreArchive


def dead_letters(client: RedisClient, store: Store | None = None) -> DeadLetters:
    """The dead letters; without a store they are looked at and redriven, and neither edited nor discarded."""
    return DeadLetters(client, archive=None if store is None else StoreArchive(store), check=fault)


def fault(channel: Channel, message: Message) -> Rejection | None:
    """Why a message is not fit for its channel; None where it is."""
    found = validate(record_class(channel), message)
    return found if isinstance(found, Rejection) else None
