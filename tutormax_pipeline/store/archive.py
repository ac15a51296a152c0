"""The table ``letter_archive``: the original of every dead letter that was discarded or edited."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from queue_core.entry import BODY_FIELD
from queue_core.letter import DeadLetter
from queue_core.letter_archive import ArchiveAction, ArchiveReceipt, Signature
from tutormax_pipeline.store.store import Store
from tutormax_pipeline.store.tables import letter_archive as table

#: Fields of a letter that have a column of their own.
_WITH_COLUMN = frozenset(
    [BODY_FIELD, b"channel", b"entry_id", b"message_id", b"reason", b"errors", b"failed_at"]
)

_THE_LETTER = (table.c.letter_id == bindparam("of_letter"), table.c.action == bindparam("of_action"))
_STILL_SIGNED = (table.c.who == bindparam("of_who"), table.c.archived_at == bindparam("of_moment"))


@dataclass(frozen=True, slots=True)
class ArchivedLetter:
    """A letter out of the archive.

    Attributes:
        letter_id: its id when it was in the dead letter stream.
        action: what was done with it.
        channel: where it came from.
        message_id: the envelope's id, where it could be read.
        body: the message as received; None where there was none.
        signature: who did it, why and when.
    """

    letter_id: str
    action: ArchiveAction
    channel: str
    message_id: str | None
    body: bytes | None
    signature: Signature


class StoreArchive:
    """Keeps letters in the store; see :class:`queue_core.letter_archive.LetterArchive`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def keep(
        self, letters: Sequence[DeadLetter], action: ArchiveAction, *, who: str, why: str
    ) -> ArchiveReceipt:
        """Keep whole letters in one transaction.

        Raises:
            StoreUnavailableError: nothing was kept.
        """
        with self._store.transaction("archive") as connection:
            known = select(table.c.letter_id, table.c.who, table.c.why, table.c.archived_at).where(
                table.c.action == action, table.c.letter_id.in_([letter.id for letter in letters])
            )
            before = {
                row.letter_id: Signature(row.who, row.why, row.archived_at)
                for row in connection.execute(known)
            }
            # Taken while nobody else can write, so that no two calls sign alike.
            signature = Signature(who, why, datetime.now(UTC))
            new = [_row(letter, action, signature) for letter in letters if letter.id not in before]
            if new:
                connection.execute(insert(table), new)
            if before:
                changes = [_signed(letter_id, action, signature) for letter_id in before]
                connection.execute(update(table).where(*_THE_LETTER), changes)
        return ArchiveReceipt(action, signature, before)

    def withdraw(self, receipt: ArchiveReceipt, letter_ids: Iterable[str]) -> None:
        """Take back what :meth:`keep` wrote of these letters, unless somebody has signed them since.

        Raises:
            StoreUnavailableError: nothing was taken back.
        """
        action, signature, before = receipt.action, receipt.signature, receipt.signed_before
        ids = list(letter_ids)
        if not ids:
            return
        still = {"of_who": signature.who, "of_moment": signature.archived_at}
        new = [{"of_letter": one, "of_action": action, **still} for one in ids if one not in before]
        old = [{**_signed(one, action, before[one]), **still} for one in ids if one in before]
        with self._store.transaction("withdraw") as connection:
            if new:
                connection.execute(delete(table).where(*_THE_LETTER, *_STILL_SIGNED), new)
            if old:
                connection.execute(update(table).where(*_THE_LETTER, *_STILL_SIGNED), old)

    def letters(self, *, limit: int = 100) -> list[ArchivedLetter]:
        """The letters archived last, newest first."""
        query = select(table).order_by(table.c.archived_at.desc(), table.c.letter_id).limit(limit)
        return [
            ArchivedLetter(
                row.letter_id,
                ArchiveAction(row.action),
                row.channel,
                row.message_id,
                row.body,
                Signature(row.who, row.why, row.archived_at),
            )
            for row in self._store.read(query)
        ]


def _row(letter: DeadLetter, action: ArchiveAction, signature: Signature) -> dict[str, Any]:
    others = [pair for pair in letter.raw.items() if pair[0] not in _WITH_COLUMN]
    return {
        "letter_id": letter.id,
        "action": action,
        "channel": letter.channel,
        "entry_id": letter.entry_id,
        "message_id": letter.message_id,
        "reason": letter.reason,
        "errors": list(letter.errors),
        "body": letter.body,
        "fields": [[b64encode(part).decode() for part in pair] for pair in others],
        "failed_at": letter.failed_at,
        "who": signature.who,
        "why": signature.why,
        "archived_at": signature.archived_at,
    }


def _signed(letter_id: str, action: ArchiveAction, signature: Signature) -> dict[str, Any]:
    return {
        "of_letter": letter_id,
        "of_action": action,
        "who": signature.who,
        "why": signature.why,
        "archived_at": signature.archived_at,
    }
