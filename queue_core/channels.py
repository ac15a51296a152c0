"""The channels, and the name of every Redis key made from them.

A new channel is one entry in :class:`QueueChannels` and a record class of the name it gives.
Table, asset, sensor, schedule, jobs and commands follow from the entry.
"""

from __future__ import annotations

from dataclasses import dataclass

from queue_core.errors import ConfigurationError

#: The consumer group that every drain and worker belongs to.
CONSUMER_GROUP = "tutormax-workers"

#: Consumer that holds entries which a reader gave back unread (see ``scripts/release.lua``).
RELEASED_CONSUMER = "released"


@dataclass(frozen=True, slots=True)
class Channel:
    """One kind of message.

    Attributes:
        name: last part of the stream's key, and name of the table and the asset.
        purpose: one sentence for people: what flows here.
        record: class name of the data contract in ``tutormax_pipeline.records``.
        id_field: field of the data that identifies the thing described; key of the table.
    """

    name: str
    purpose: str
    record: str
    id_field: str

    def __str__(self) -> str:
        return self.name


class QueueChannels:
    """The registry: every channel is one attribute here."""

    TUTORS = Channel(
        "tutors",
        purpose="Tutor profiles, as they are created and changed.",
        record="Tutor",
        id_field="tutor_id",
    )
    SESSIONS = Channel(
        "sessions",
        purpose="Tutoring sessions, from booking to outcome.",
        record="Session",
        id_field="session_id",
    )
    FEEDBACK = Channel(
        "feedback",
        purpose="Ratings and comments that students give after a session.",
        record="Feedback",
        id_field="feedback_id",
    )

    @classmethod
    def all(cls) -> tuple[Channel, ...]:
        """Every channel, in the order of their entries."""
        return tuple(value for value in vars(cls).values() if isinstance(value, Channel))

    @classmethod
    def find(cls, name: Channel | str) -> Channel:
        """The channel of a name (``tutors``) or of a stream's key (``tutormax:tutors``).

        Raises:
            ConfigurationError: there is no such channel.
        """
        if isinstance(name, Channel):
            return name
        wanted = name.rpartition(":")[2]
        for channel in cls.all():
            if channel.name == wanted:
                return channel
        known = ", ".join(channel.name for channel in cls.all())
        raise ConfigurationError(f"There is no channel {name!r}; the channels are {known}.")


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of the Redis keys under one prefix (``REDIS_KEY_PREFIX``)."""

    prefix: str

    def stream(self, channel: Channel) -> str:
        """Stream of the channel's messages; also the ``channel`` in their envelopes."""
        return f"{self.prefix}:{channel.name}"

    def retry(self, channel: Channel) -> str:
        """Sorted set: entry id scored by the time, in ms, at which its retry is due."""
        return f"{self.stream(channel)}:retry"

    def processing(self, channel: Channel) -> str:
        """Hash: entry id -> attempts so far."""
        return f"{self.stream(channel)}:processing"

    def buried(self, channel: Channel) -> str:
        """Sorted set: entries that were moved to the dead letters, scored by their time in ms.

        A group that was gone and made again delivers them once more; they are not moved twice. Swept
        as the entries are trimmed.
        """
        return f"{self.stream(channel)}:buried"

    @property
    def dead_letter(self) -> str:
        """Stream of the dead letters of all channels."""
        return f"{self.prefix}:dead_letter"

    @property
    def dead_letter_counts(self) -> str:
        """Hash: channel name -> its dead letters, so that counting them costs the same at any number.

        And ``<channel>:moved`` -> those ever moved on: redriven, edited or discarded. With both the books
        show whether letters are gone.
        """
        return f"{self.dead_letter}:counts"
