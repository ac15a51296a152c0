"""What a worker may be given, checked by name before it touches a message."""

from __future__ import annotations

from collections.abc import Iterable

from queue_core.channels import Channel, QueueChannels
from queue_core.errors import ConfigurationError


def channels_of(given: Channel | str | Iterable[Channel | str]) -> tuple[Channel, ...]:
    """The channels of a worker, each once, in the order given.

    Raises:
        ConfigurationError: none, or one that is not known.
    """
    if isinstance(given, (Channel, str)):
        given = [given]
    if not isinstance(given, Iterable):
        raise ConfigurationError(f"A worker's channels are a channel or a list of them, not {given!r}.")
    wanted = list(given)
    for one in wanted:
        if not isinstance(one, (Channel, str)):
            raise ConfigurationError(f"A channel is a Channel or its name, not {one!r}.")
    if not wanted:
        raise ConfigurationError("A worker needs at least one channel.")
    return tuple(dict.fromkeys(QueueChannels.find(one) for one in wanted))


def number(name: str, given: float | None, default: float, *, least: float) -> float:
    """An option, or its default.

    Raises:
        ConfigurationError: it is no number, or below ``least``.
    """
    value = default if given is None else given
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= least:
        raise ConfigurationError(f"{name} must be a number, {least} or more, got {value!r}.")
    return value


def whole_number(name: str, given: int | None, default: int) -> int:
    """An option that is 1 or more, or its default.

    Raises:
        ConfigurationError: it is no whole number, or below 1.
    """
    value = default if given is None else given
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name} must be a whole number, 1 or more, got {value!r}.")
    return value
