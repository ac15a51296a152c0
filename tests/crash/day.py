"""One day of the pipeline, with every side effect that it has; may be begun again after it was cut short.

Run by ``warm.py`` in a process of its own, which ends at a failpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete

from queue_core import (
    MessageConsumer,
    MessagePublisher,
    QueueChannels,
    QueueWorker,
    ReceivedMessage,
    RedisClient,
)
from queue_core.dead_letter import DeadLetters, LetterFilter
from queue_core.letter import DeadLetter
from queue_core.letter_archive import ArchiveAction, ArchiveReceipt
from queue_core.letter_counts import recount_letters
from queue_core.outcomes import Message, Reason, Rejection
from queue_core.reclaim import reclaim
from tests.conftest import wait_until
from tutormax_pipeline import books, judge
from tutormax_pipeline.drain import DrainLimits, DrainReport, drain
from tutormax_pipeline.letters import dead_letters
from tutormax_pipeline.maintenance import maintain_all
from tutormax_pipeline.records import Record
from tutormax_pipeline.stock import take_stock
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.archive import StoreArchive
from tutormax_pipeline.store.performance import refresh_performance
from tutormax_pipeline.store.tables import message_ledger

TUTORS = QueueChannels.TUTORS
#: Messages that must end as rows, whatever happens, under these message ids.
MESSAGES = [f"m{n}" for n in range(12)]
SESSIONS = QueueChannels.SESSIONS
#: Messages that a worker without Dagster handles.
WORKED_ON = [f"w{n}" for n in range(3)]
#: What a program of somebody else put into the stream; the last is mended by an operator.
JUNK = [b"keep", b"put back", b"throw away"]
#: Fails in the first hours of each day.
FLAKY = "m3"

_real_validate = judge.validate


def live(client: RedisClient, store: Store, retention_days: int) -> None:
    """From publishing to maintenance, which prunes the ledger where a retention is given."""
    failing = _let_one_fail()
    _publish(client)
    _stop_early(client, store)
    _drain(client, store)
    failing.clear()
    _retry(client, store)
    _die_holding(client, store)
    _work_on_letters(client, store)
    _lose_a_ledger_row(client, store)
    _lose_an_entry(client, store)
    _drain(client, store)
    _work(client)
    refresh_performance(store)
    maintain_all(client, store, retention_days, now=datetime.now(UTC) + timedelta(days=3))


def _drain(client: RedisClient, store: Store, **limits: int) -> DrainReport:
    return drain(MessageConsumer(client), store, TUTORS, run_id="r", limits=DrainLimits(**limits))


def _let_one_fail() -> set[str]:
    """The messages that fail, as if by a deadlock, for as long as they are in the set."""
    failing = {FLAKY}

    def validate(contract: type[Record], message: Message) -> Record | Rejection:
        if message.id in failing:
            raise TimeoutError
        return _real_validate(contract, message)

    judge.validate = validate
    return failing


def _publish(client: RedisClient) -> None:
    publisher = MessagePublisher(client)
    for message_id in MESSAGES:
        publisher.publish(TUTORS, {"tutor_id": message_id, "name": "x"}, message_id=message_id)


def _stop_early(client: RedisClient, store: Store) -> None:
    """A batch is stored, and what was read ahead is given back."""
    turns = iter([False, True])
    consumer, limits = MessageConsumer(client), DrainLimits(batch_size=2)
    drain(consumer, store, TUTORS, run_id="r", limits=limits, stop=lambda: next(turns, True))


def _retry(client: RedisClient, store: Store) -> None:
    def settled() -> bool:
        return _drain(client, store).after.scheduled == 0

    wait_until(settled)


def _die_holding(client: RedisClient, store: Store) -> None:
    """What a consumer took and left is given back, taken over, begun and stored."""
    _publish(client)
    died = MessageConsumer(client, "died")
    died.read(TUTORS, 5)
    reclaim(client, TUTORS, consumer="died", min_idle_ms=0)
    died.leave(TUTORS)
    _drain(client, store)


def _work(client: RedisClient) -> None:
    publisher = MessagePublisher(client)
    for message_id in WORKED_ON:
        publisher.publish(SESSIONS, {"session_id": message_id, "tutor_id": "T"}, message_id=message_id)
    work_through(client)


def work_through(client: RedisClient) -> None:
    """A worker handles the sessions; each message id that it handled is in a set."""
    worker = QueueWorker(SESSIONS, client=client)

    @worker.register_handler(SESSIONS)
    def handle(_: object, message: ReceivedMessage) -> bool:
        worker._lease.renew()  # as its thread does, which may not get to it here
        client.redis.sadd(handled_key(client), message.id)
        return True

    worker.run_once()


def handled_key(client: RedisClient) -> str:
    return f"{client.settings.key_prefix}:handled"


def _work_on_letters(client: RedisClient, store: Store) -> None:
    letters = dead_letters(client, store)
    letters.redrive(LetterFilter(text=JUNK[1]), dry_run=False, max_redrives=9)
    slower = DeadLetters(client, archive=_Overtaken(client, store))
    slower.discard(LetterFilter(text=JUNK[2]), who="operator", why="nobody misses it", dry_run=False)
    for letter in letters.iterate(LetterFilter(reason=Reason.INVALID)):
        letters.edit(letter.id, {"rating": 5}, who="operator", why="a slip of the pen")
    recount_letters(client)
    take_stock(client, store, datetime.now(UTC))


class _Overtaken(StoreArchive):
    """Just after letters are archived by one operator, another discards them."""

    def __init__(self, client: RedisClient, store: Store) -> None:
        super().__init__(store)
        self._faster = DeadLetters(client, archive=StoreArchive(store))

    def keep(
        self, letters: Sequence[DeadLetter], action: ArchiveAction, *, who: str, why: str
    ) -> ArchiveReceipt:
        receipt = super().keep(letters, action, who=who, why=why)
        self._faster.discard([letter.id for letter in letters], who="faster", why=why, dry_run=False)
        return receipt


def _lose_a_ledger_row(client: RedisClient, store: Store) -> None:
    """Somebody deletes a row of the ledger; the entry is put back and settled again."""
    with store.engine.begin() as connection:
        connection.execute(delete(message_ledger).where(message_ledger.c.message_id == MESSAGES[-1]))
    books.repair(client, books.look(client, store, TUTORS, datetime.now(UTC)))
    _drain(client, store)


def _lose_an_entry(client: RedisClient, store: Store) -> None:
    """Somebody deletes an entry that waits; the loss is seen, and written off."""
    publisher = MessagePublisher(client)
    publisher.publish(TUTORS, {"tutor_id": "doomed", "name": "x"}, message_id="doomed")
    stream = client.keys.stream(TUTORS)
    ((entry_id, _),) = client.redis.xrevrange(stream, count=1)
    client.redis.xdel(stream, entry_id)
    books.write_off(client, store, TUTORS, who="operator", why="it was doomed", now=datetime.now(UTC))
