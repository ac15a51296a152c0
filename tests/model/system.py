"""The real system that one example of the machine has to itself, and how things are done to it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from hypothesis.stateful import RuleBasedStateMachine
from sqlalchemy import event

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.dead_letter import DeadLetters
from queue_core.embedded import EmbeddedServer
from queue_core.entry import Delivery, Entry
from queue_core.errors import QueueFullError
from queue_core.outcomes import Message, Rejection
from queue_core.serializer import serialize
from tests.conftest import settings_for
from tests.model.entries import Content, HeldLetter, Item, Place, Seen
from tests.model.observation import observe
from tests.model.specification import MAX_RETRIES, Model
from tutormax_pipeline import judge
from tutormax_pipeline.drain import DrainLimits, DrainReport, drain
from tutormax_pipeline.letters import dead_letters
from tutormax_pipeline.records import Record
from tutormax_pipeline.settler import Settler
from tutormax_pipeline.store import Settlement, Store

TUTORS = QueueChannels.TUTORS
START = datetime(2026, 11, 7, 21, tzinfo=UTC)
#: So small that a machine fills it.
QUEUE_MAXLEN = 15

T = TypeVar("T")


@dataclass
class Hand:
    """What a consumer that is gone had taken, or still has, should it wake up."""

    consumer: MessageConsumer
    entries: list[Entry]


class System(RuleBasedStateMachine):
    """One namespace on the server and one store, for each example.

    Attributes:
        server: the server; set by the test.
        template: an empty store, to be copied; set by the test.
        folder: where copies go; set by the test.
    """

    server: EmbeddedServer
    template: Path
    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.client = RedisClient(
            settings_for(
                self.server, max_retries=MAX_RETRIES, retry_backoff_ms=60_000, queue_maxlen=QUEUE_MAXLEN
            )
        )
        self.client_later = RedisClient(
            self.client.settings.model_copy(
                update={"worker_max_processing_time_seconds": 0.0001, "retry_on_timeout": False}
            )
        )
        self.file = self.folder / f"{self.client.settings.key_prefix}.db"
        shutil.copy(self.template, self.file)
        self.store = Store(f"sqlite:///{self.file}")
        # Processes end here, machines do not.
        event.listen(self.store.engine, "connect", lambda made, _: made.execute("PRAGMA synchronous=OFF"))
        self.stream = self.client.keys.stream(TUTORS)
        #: Consumers that are gone, for now, and what they had read.
        self.hands: list[Hand] = []
        self.names = 0
        self.restarts = self.deletions = 0

    def close(self) -> None:
        """Leave nothing behind."""
        keys = self.client.redis.keys(f"{self.client.settings.key_prefix}:*")
        if keys:
            self.client.redis.delete(*keys)
        self.client.close()
        self.client_later.close()
        self.store.close()
        for file in self.folder.glob(f"{self.file.name}*"):
            file.unlink()

    def _seen(self) -> Seen:
        return observe(self.client, self.store)

    def _name(self, kind: str) -> str:
        self.names += 1
        return f"{kind}-{self.names}"

    def _publish(self, message_id: str, row: tuple[str, str, datetime]) -> None:
        record_id, name, moment = row
        try:
            MessagePublisher(self.client).publish(
                TUTORS, {"tutor_id": record_id, "name": name}, message_id=message_id, published_at=moment
            )
        except QueueFullError:
            self._is_full()
            return
        (entry_id,) = self._new_entries()
        envelope = body(self.stream, message_id, row)
        self.model.added(entry_id, Content({b"message": envelope}, message_id, None, row))
        self.model.swept(self._seen())

    def _is_full(self) -> None:
        # Where the server lost count, all entries count: see room.lua.
        assert sum(one.in_stream for one in self.model.items.values()) >= QUEUE_MAXLEN
        self.model.swept(self._seen())

    def _new_entries(self) -> list[str]:
        last = max((one.position for one in self.model.items.values()), default=None)
        start = "-" if last is None else f"({last}"
        return [i.decode() for i, _ in self.client.redis.xrange(self.stream, start)]

    def _published_again(self, letter: HeldLetter, entry_id: str, content: Content) -> None:
        fields = {**content.fields, b"redrives": str(redrives(letter) + 1).encode()}
        del self.model.letters[letter.id]
        self.model.added(entry_id, replace(content, fields=fields))

    def _read(self, count: int) -> Hand:
        consumer = MessageConsumer(self.client, self._name("dead"))
        waiting = sorted(self.model.at(Place.WAITING), key=lambda one: one.position)
        entries = consumer.read(TUTORS, count)
        assert [entry.id for entry in entries] == [one.id for one in waiting[:count]]
        for entry in entries:
            self.model.read(entry.id, consumer.name)
        hand = Hand(consumer, entries)
        if entries:
            self.hands.append(hand)
        return hand

    def _settle(self, hand: Hand) -> list[Settlement]:
        settler = Settler(hand.consumer, self.store, TUTORS, hand.consumer.name)
        settlements, failures = settler.settle(hand.entries)
        assert not failures
        seen = self._seen()
        for entry in hand.entries:
            one = self.model.items[entry.id]
            self.model.settled_by(
                one,
                seen,
                deliveries=entry.deliveries,
                failures=entry.failures,
                deleted=entry.delivery is Delivery.DELETED,
            )
        return settlements

    def _drain(
        self, *, most: int | None, batch_size: int, late: bool = False, failing: tuple[str, ...] = ()
    ) -> DrainReport:
        client = self.client_later if late else self.client
        run_id = self._name("run")
        limits = DrainLimits(batch_size=batch_size, max_messages=most)
        real = judge.validate

        def validate(contract: type[Record], message: Message) -> Record | Rejection:
            if message.id in failing:
                raise KeyError(message.id)
            return real(contract, message)

        judge.validate = validate
        try:
            report = drain(MessageConsumer(client, run_id), self.store, TUTORS, run_id=run_id, limits=limits)
        finally:
            judge.validate = real
        self.model.drained(self._seen(), most=most, late=late, failing=failing)
        return report

    def _letters(self) -> DeadLetters:
        return dead_letters(self.client, self.store)

    def _chosen(self, numbers: Iterable[int]) -> list[HeldLetter]:
        letters = sorted(self.model.letters.values(), key=lambda one: one.id)
        ids = sorted({nth(letters, number).id for number in numbers}, key=_position)
        return [self.model.letters[i] for i in ids]

    def _good(self) -> list[Content]:
        return [one.content for one in self.model.items.values() if one.content.reason is None]

    def _unprocessed(self) -> list[Item]:
        return [one for one in self.model.items.values() if one.in_stream and one.place is not Place.DONE]


def keep_every_write(client: RedisClient) -> None:
    """Hand every write to the system before it is answered, so that a killed server forgets none."""
    client.redis.config_set("appendfsync", "no")


def body(stream: str, message_id: str, row: tuple[str, str, datetime], **more: object) -> bytes:
    record_id, name, moment = row
    data = {"tutor_id": record_id, "name": name, **more}
    return serialize(stream, data, message_id=message_id, published_at=moment)


def redrives(letter: HeldLetter) -> int:
    return int(letter.content.fields.get(b"redrives", b"0"))


def _position(letter_id: str) -> tuple[int, ...]:
    return tuple(int(part) for part in letter_id.split("-"))


def nth(options: Sequence[T], number: int) -> T:
    return options[number % len(options)]
