"""Whether something became a dead letter."""

from __future__ import annotations

from queue_core.channels import Channel, QueueChannels
from queue_core.client import RedisClient
from queue_core.dead_letter import DeadLetters, LetterFilter
from queue_core.letter import DeadLetter
from queue_core.testing.wording import expectation, is_met, listing


def assert_dead_lettered(
    client: RedisClient,
    channel: Channel | str,
    *,
    reason: str | None = None,
    message_id: str | None = None,
    error: str | None = None,
    count: int | None = None,
) -> list[DeadLetter]:
    """Assert that messages of a channel became dead letters, and are there still.

    Args:
        client: the connection.
        channel: a channel, its name or its key.
        reason: why, one of ``queue_core.outcomes.Reason``.
        message_id: the id of the message.
        error: text that one of its errors has, in capitals or not.
        count: exactly so many; at least one when not given.

    Returns:
        The letters that match, oldest first.

    Raises:
        AssertionError: there are others, and shows what is there.
        QueueUnavailableError: Redis is away.
    """
    found = QueueChannels.find(channel)
    letters = DeadLetters(client)
    wanted = LetterFilter(channel=found, reason=reason, message_id=message_id, error=error)
    matching = list(letters.iterate(wanted))
    if not is_met(count, len(matching)):
        there = [_line(letter) for letter in letters.iterate(LetterFilter(channel=found), bodies=False)]
        asked = {"reason": reason, "message id": message_id, "error": error}
        given = [f"{name} {value}" for name, value in asked.items() if value is not None]
        having = f" with {', '.join(given)}" if given else ""
        raise AssertionError(
            f"{expectation(count, 'dead letter', f'of {found}')}{having}; "
            f"{len(matching)} of {len(there)} match:{listing(there)}"
        )
    return matching


def _line(letter: DeadLetter) -> str:
    return f"{letter.id} {letter.reason}, message {letter.message_id or '?'}: {'; '.join(letter.errors)}"
