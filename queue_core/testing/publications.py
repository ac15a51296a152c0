"""Whether something was published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from queue_core.channels import Channel, QueueChannels
from queue_core.client import RedisClient
from queue_core.entry import BODY_FIELD
from queue_core.outcomes import Message, Rejection
from queue_core.serializer import deserialize
from queue_core.testing.wording import expectation, is_met, listing


def assert_published(
    client: RedisClient,
    channel: Channel | str,
    data: Mapping[str, object] | None = None,
    *,
    where: Callable[[Message], bool] | None = None,
    message_id: str | None = None,
    count: int | None = None,
) -> list[Message]:
    """Assert that a channel's stream has messages like this, processed or not.

    Args:
        client: the connection.
        channel: a channel, its name or its key.
        data: fields that the message's data must have, with these values; others may be there too, and
            an object within it is compared in the same way.
        where: must be true of the message.
        message_id: its id.
        count: exactly so many; at least one when not given.

    Returns:
        The messages that match, oldest first.

    Raises:
        AssertionError: there are others, and shows what is there.
        QueueUnavailableError: Redis is away.
    """
    found = QueueChannels.find(channel)
    stream = client.keys.stream(found)
    with client.errors():
        entries: Any = client.redis.xrange(stream)
    matching: list[Message] = []
    seen: list[str] = []
    for entry_id, fields in entries:
        read = deserialize(fields.get(BODY_FIELD), channel=stream)
        if isinstance(read, Rejection):
            seen.append(f"{entry_id.decode()} cannot be read: {read.reason}: {'; '.join(read.errors)}")
            continue
        differences = _differences(read, data, where, message_id)
        if not differences:
            matching.append(read)
        verdict = f"  <- {'; '.join(differences)}" if differences else "  <- matches"
        seen.append(f"{entry_id.decode()} {read.id} {read.data!r}"[:200] + verdict)
    if not is_met(count, len(matching)):
        wanted = [f"data with {dict(data)!r}"] if data is not None else []
        wanted += [f"the message id {message_id}"] if message_id is not None else []
        wanted += ["what 'where' asks for"] if where is not None else []
        having = f" having {' and '.join(wanted)}" if wanted else ""
        raise AssertionError(
            f"{expectation(count, 'message', f'in {found}')}{having}; "
            f"{len(matching)} of {len(entries)} match:{listing(seen)}"
        )
    return matching


def _differences(
    message: Message,
    data: Mapping[str, object] | None,
    where: Callable[[Message], bool] | None,
    message_id: str | None,
) -> list[str]:
    found = _lacking(message.data, data or {}, "data")
    if message_id is not None and message.id != message_id:
        found.append("another message id")
    # Asked only of a message that fits otherwise, so that it may rely on the fields that were given.
    if not found and where is not None and not where(message):
        found.append("'where' is false")
    return found


def _lacking(there: Mapping[str, Any], wanted: Mapping[str, object], path: str) -> list[str]:
    found = []
    for name, value in wanted.items():
        place = f"{path}.{name}"
        if name not in there:
            found.append(f"{place} is missing")
        elif isinstance(value, Mapping) and isinstance(there[name], Mapping):
            found += _lacking(there[name], value, place)
        # In JSON true is not 1.
        elif there[name] != value or isinstance(there[name], bool) != isinstance(value, bool):
            found.append(f"{place} is {there[name]!r}")
    return found
