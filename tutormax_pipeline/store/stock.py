"""The table ``dead_letters``: which letters were there when stock was last taken, and why; no message."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import delete, insert

from queue_core.letter import DeadLetter
from queue_core.letter_fault import fault_of
from tutormax_pipeline.store.store import Store
from tutormax_pipeline.store.tables import dead_letters as table

#: Rows of one statement.
_STEP_ROWS = 2_000
_LARGEST = 2**63 - 1

Row = dict[str, Any]


def stock_row(letter: DeadLetter, taken_at: datetime) -> Row:
    """The row of a letter, whoever wrote it."""
    fault = fault_of(letter)
    return {
        "letter_id": letter.id,
        "channel": _text(letter.channel),
        "entry_id": _text(letter.entry_id),
        "message_id": None if letter.message_id is None else _text(letter.message_id),
        "reason": _text(letter.reason),
        "field": _text(fault.field),
        "error": _text(fault.error),
        "deliveries": min(letter.deliveries, _LARGEST),
        "redrives": min(letter.redrives, _LARGEST),
        "failed_at": letter.failed_at,
        "taken_at": taken_at,
    }


def replace_stock(store: Store, rows: Sequence[Row]) -> None:
    """Let the table hold these rows and no others, in one transaction.

    Raises:
        StoreUnavailableError: the table is as it was.
    """
    left = iter(rows)
    with store.transaction("replace_stock") as connection:
        connection.execute(delete(table))
        while step := list(islice(left, _STEP_ROWS)):
            connection.execute(insert(table), step)


def _text(words: str) -> str:
    # PostgreSQL has no text with U+0000, and one such letter would keep out all others.
    return words.replace("\x00", "\ufffd")
