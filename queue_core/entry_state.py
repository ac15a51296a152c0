"""Where one entry stands: in the stream or gone, waiting or pending, and what was tried so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from queue_core.channels import CONSUMER_GROUP, Channel
from queue_core.client import RedisClient
from queue_core.entry import Entry, fields_of
from queue_core.letter import Attempt, read_attempts
from queue_core.pending import PendingMessage


@dataclass(frozen=True, slots=True)
class EntryState:
    """One entry of a channel, at one instant.

    Attributes:
        channel: the channel.
        entry_id: its id.
        entry: what is in it; None where it is not in the stream: trimmed or deleted, or it never was.
        delivered: whether the group has come as far as this id.
        pending: who holds it; None where it is not pending.
        attempts: those that failed, oldest first, until its final state.
        retry_due: when it is tried again; None where no retry is scheduled.
    """

    channel: Channel
    entry_id: str
    entry: Entry | None = field(repr=False)
    delivered: bool
    pending: PendingMessage | None
    attempts: tuple[Attempt, ...]
    retry_due: datetime | None

    @property
    def waiting(self) -> bool:
        """Whether it is there for the next reader."""
        return self.entry is not None and not self.delivered

    @property
    def exists(self) -> bool:
        """Whether Redis knows anything of it."""
        return self.entry is not None or self.pending is not None


def entry_state(client: RedisClient, channel: Channel, entry_id: str) -> EntryState:
    """Look at one entry.

    Args:
        client: the connection.
        channel: its channel.
        entry_id: its id, ``<ms>-<sequence>``.

    Raises:
        QueueUnavailableError: Redis is away.
    """
    keys = client.keys
    with client.errors():
        fields, delivered, holder, due, attempts = client.run(
            "entry_state",
            [keys.stream(channel), keys.retry(channel), keys.processing(channel)],
            [CONSUMER_GROUP, entry_id],
        )
    return EntryState(
        channel=channel,
        entry_id=entry_id,
        entry=None if fields is None else Entry(entry_id, fields_of(fields), holder[2] if holder else 0),
        delivered=bool(delivered),
        pending=None if holder is None else PendingMessage(entry_id, holder[0].decode(), *holder[1:]),
        attempts=read_attempts(attempts or b""),
        retry_due=None if due is None else datetime.fromtimestamp(float(due) / 1000, UTC),
    )
