"""Taking stock of the dead letters: the table, and what a report is written from. Free of Dagster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from queue_core.client import RedisClient
from queue_core.letter import DeadLetter
from queue_core.letter_counts import LetterTraffic, letter_traffic
from queue_core.letter_groups import LetterGroup, grouped
from tutormax_pipeline.letters import dead_letters
from tutormax_pipeline.masked import masked_message
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.stock import Row, replace_stock, stock_row

#: Groups of which an example is shown.
EXAMPLES = 30


@dataclass(frozen=True, slots=True)
class Stock:
    """What is dead.

    Attributes:
        taken_at: when, UTC.
        traffic: of the dead letter stream just before.
        letters: how many there are; they are in the table.
        by_channel: the same by the name of their channel.
        oldest_failed_at: when the oldest of them failed; None where there is none.
        groups: by what is wrong with them, the biggest first.
        examples: letter id -> its message, every value masked; of the biggest groups.
    """

    taken_at: datetime
    traffic: LetterTraffic
    letters: int
    by_channel: Counter[str]
    oldest_failed_at: datetime | None
    groups: Sequence[LetterGroup]
    examples: dict[str, str]


def take_stock(client: RedisClient, store: Store, now: datetime) -> Stock:
    """Replace the table ``dead_letters`` by what is dead now.

    Args:
        client: the queue.
        store: where the table is.
        now: the present, UTC.

    Raises:
        QueueUnavailableError: Redis is away; the table is as it was.
        StoreUnavailableError: the database is away; the table is as it was.
    """
    letters, traffic = dead_letters(client), letter_traffic(client)
    rows: list[Row] = []

    def noted() -> Iterator[DeadLetter]:
        for letter in letters.iterate(bodies=False):
            rows.append(stock_row(letter, now))
            yield letter

    groups = grouped(noted())
    # Read whole before the store is locked: drains write to it too.
    replace_stock(store, rows)
    shown = [group.example_id for group in groups[:EXAMPLES]]
    return Stock(
        taken_at=now,
        traffic=traffic,
        letters=len(rows),
        by_channel=Counter(row["channel"] for row in rows),
        oldest_failed_at=min((group.oldest for group in groups), default=None),
        groups=groups,
        examples={letter.id: masked_message(letter) for letter in letters.iterate(shown)},
    )
