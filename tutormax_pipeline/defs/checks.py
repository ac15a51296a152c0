"""The asset checks: `books_balance` on each table, run with every drain and by hand."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from queue_core import QueueChannels, QueueError
from queue_core.channels import Channel
from queue_core.outcomes import Outcome
from tutormax_pipeline.book_findings import explain
from tutormax_pipeline.books import Books, look
from tutormax_pipeline.defs.resources import QueueResource, StoreResource
from tutormax_pipeline.store import StoreError


def _books_balance(channel: Channel) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        name="books_balance",
        asset=channel.name,
        description="Every message ever published to this channel is accounted for, exactly once: entries "
        "added = stored + duplicates + dead-lettered + lost + waiting + pending; and every "
        "dead letter is there, or was redriven, edited or discarded. When it fails, its result says what is "
        "missing and what to do; `tutormax doctor` says the same for all channels, "
        "`tutormax doctor --repair` puts back what the ledger lost, and `tutormax doctor --write-off "
        f'{channel.name} --why "..."` records that a loss was dealt with.',
    )
    def books_balance(queue: QueueResource, store: StoreResource) -> dg.AssetCheckResult:
        try:
            with queue.connect() as client, store.open() as tables:
                books = look(client, tables, channel, datetime.now(UTC))
        except (QueueError, StoreError) as error:
            raise dg.Failure(description=str(error)) from error
        findings = explain(books)
        return dg.AssetCheckResult(
            passed=not findings,
            severity=dg.AssetCheckSeverity.ERROR,
            description="\n\n".join(f"{one.summary} {one.remedy}" for one in findings)
            or f"All {books.added:,} entries are accounted for.",
            metadata=_metadata(books),
        )

    return books_balance


def _metadata(books: Books) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "added": books.added,
        **{outcome.value: books.outcome(outcome) for outcome in Outcome},
        "waiting": books.waiting,
        "pending": books.pending,
        "pruned": sum(books.pruned.values()),
        "adjustments": books.adjustments,
        "difference": books.difference,
        "dead_letters_gone": books.letters.gone,
    }
    named = {one.check: list(one.entry_ids) for one in explain(books) if one.entry_ids}
    if named:
        metadata["entries"] = dg.MetadataValue.json(named)
    return metadata


book_checks = [_books_balance(channel) for channel in QueueChannels.all()]
