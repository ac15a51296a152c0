"""The verdict finds what is wrong: each rule is broken once, on purpose."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from random import Random

import pytest
import redis

from queue_core.outcomes import Outcome
from tests.chaos.plan import Plan
from tests.chaos.system import System
from tests.chaos.verdict import Verdict, judge
from tests.conftest import wait_until

MESSAGES = 4_000
SESSIONS, LETTERS = "chaos:sessions", "chaos:dead_letter"

Break = Callable[[sqlite3.Connection, redis.Redis], object]


@pytest.fixture(scope="module")
def at_rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system that published and drained in peace."""
    folder = tmp_path_factory.mktemp("chaos")
    plan = Plan(1, "chaos", records=50, poison_share=0.05)
    with System(folder, plan, Random(1), drains=1, publishers=2, batches=4) as system:
        wait_until(lambda: system.has_published, timeout_seconds=60)
        wait_until(
            lambda: all(seen.waiting == seen.pending == 0 for seen in system.look()), timeout_seconds=60
        )
        system.stop_publishers(30)
        system.stop_drains()
        yield system


@pytest.fixture
def broken(at_rest: System) -> Iterator[Callable[[Break], Verdict]]:
    """Break something, judge, and put everything back."""
    with (
        closing(sqlite3.connect(at_rest.store_path, isolation_level=None)) as store,
        closing(sqlite3.connect(":memory:")) as kept,
        at_rest.admin() as admin,
    ):
        store.backup(kept)
        keys = admin.keys("chaos:*")
        for key in keys:
            admin.copy(key, b"kept:" + key, replace=True)

        def act(breaking: Break) -> Verdict:
            breaking(store, admin)
            return judge(at_rest)

        yield act
        kept.backup(store)
        admin.delete(*admin.keys("chaos:*"))
        for key in keys:
            admin.copy(b"kept:" + key, key)


def test_a_run_in_peace_breaks_no_rule(at_rest: System) -> None:
    verdict = judge(at_rest)
    assert verdict.violations == []
    assert verdict.outcomes[Outcome.STORED] + verdict.outcomes[Outcome.DEAD_LETTERED] == MESSAGES
    assert verdict.outcomes[Outcome.DEAD_LETTERED] > MESSAGES // 40
    assert 140 <= verdict.rows <= 150


def test_a_server_that_forgot_must_not_have_books_that_balance(at_rest: System) -> None:
    (violation,) = judge(at_rest, forgotten=True).violations
    assert violation.rule == "the server forgot everything, and the books balance"


def sql(statement: str) -> Break:
    def breaking(store: sqlite3.Connection, _: redis.Redis) -> None:
        store.executescript("DROP INDEX message_ledger_stored_once")
        assert store.execute(statement).rowcount == 1, "the statement was to change one row"

    return breaking


def letter(change: Callable[[redis.Redis, bytes, dict[bytes, bytes]], object]) -> Break:
    def breaking(_: sqlite3.Connection, admin: redis.Redis) -> None:
        ((entry_id, fields),) = admin.xrange(LETTERS, count=1)
        change(admin, entry_id, fields)

    return breaking


def replace_letter(**changes: bytes) -> Break:
    def change(admin: redis.Redis, entry_id: bytes, fields: dict[bytes, bytes]) -> None:
        admin.xdel(LETTERS, entry_id)
        admin.xadd(LETTERS, fields | {name.encode(): value for name, value in changes.items()})

    return letter(change)


ONE_STORED = "(SELECT min(entry_id) FROM message_ledger WHERE channel = 'sessions' AND outcome = 'stored')"
OLDER = (
    "(SELECT l.message_id FROM message_ledger l JOIN sessions s ON l.message_id <> s.message_id "
    "WHERE l.channel = 'sessions' AND l.outcome = 'stored' LIMIT 1)"
)

BREAKS: dict[str, tuple[Break, str]] = {
    "a ledger row is gone": (
        sql(f"DELETE FROM message_ledger WHERE channel = 'sessions' AND entry_id = {ONE_STORED}"),
        "lost: published, and not stored",
    ),
    "a stored message became lost": (
        sql(
            "UPDATE message_ledger SET outcome = 'lost' WHERE channel = 'sessions' "
            f"AND entry_id = {ONE_STORED}"
        ),
        "lost: deleted before it was processed",
    ),
    "a message is stored by two entries": (
        sql(
            "INSERT INTO message_ledger SELECT channel, '1-1', message_id, outcome, reason, deliveries, "
            "run_id, published_at, recorded_at FROM message_ledger WHERE channel = 'sessions' "
            f"AND entry_id = {ONE_STORED}"
        ),
        "stored twice",
    ),
    "a message is stored that nobody published": (
        sql(
            "UPDATE message_ledger SET message_id = 'stranger' WHERE channel = 'sessions' "
            f"AND entry_id = {ONE_STORED}"
        ),
        "stored, and never published as a good message",
    ),
    "a message is a duplicate of none": (
        sql(
            "UPDATE message_ledger SET outcome = 'duplicate' WHERE channel = 'sessions' "
            f"AND entry_id = {ONE_STORED}"
        ),
        "duplicate of nothing that is stored",
    ),
    "a row is gone": (
        sql("DELETE FROM sessions WHERE session_id = (SELECT min(session_id) FROM sessions)"),
        "row that is missing, or is not from the record's newest message",
    ),
    "a row is from an older message": (
        sql(
            f"UPDATE sessions SET message_id = {OLDER}, notes = {OLDER} "
            "WHERE session_id = (SELECT min(session_id) FROM sessions)"
        ),
        "row that is missing, or is not from the record's newest message",
    ),
    "a row has the content of another message": (
        sql(
            'UPDATE sessions SET extra = \'{"unlisted":"other"}\' '
            "WHERE session_id = (SELECT min(session_id) FROM sessions)"
        ),
        "row that nobody published like this",
    ),
    "a dead letter is gone": (
        letter(lambda admin, entry_id, _: admin.xdel(LETTERS, entry_id)),
        "dead in the ledger, and without a letter",
    ),
    "a dead letter was written twice": (
        letter(lambda admin, _, fields: admin.xadd(LETTERS, fields)),
        "two dead letters of one entry",
    ),
    "a dead letter has other bytes": (
        replace_letter(message=b"other"),
        "poison without a dead letter of its exact bytes",
    ),
    "a dead letter has another reason": (
        replace_letter(reason=b"crash_loop"),
        "dead letter that is no poison, or has other bytes or another reason",
    ),
    "a dead letter is unknown to the ledger": (
        replace_letter(entry_id=b"1-1"),
        "dead letter that the ledger does not have, or with another reason",
    ),
    "a message waits": (
        lambda _, admin: admin.xadd(SESSIONS, {"message": "new"}),
        "left behind",
    ),
    "an attempt is on record": (
        lambda _, admin: admin.hset(f"{SESSIONS}:processing", "1-1", "[]"),
        "left behind",
    ),
    "a retry is scheduled": (
        lambda _, admin: admin.zadd(f"{SESSIONS}:retry", {"1-1": 1}),
        "left behind",
    ),
    "dead letters are counted wrong": (
        lambda _, admin: admin.hincrby(f"{LETTERS}:counts", "sessions", 1),
        "left behind",
    ),
    "a stream had more entries than are accounted for": (
        lambda _, admin: admin.xdel(SESSIONS, admin.xadd(SESSIONS, {"message": "gone"})),
        "the books do not balance",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_is_found(name: str, broken: Callable[[Break], Verdict]) -> None:
    breaking, rule = BREAKS[name]
    assert rule in [violation.rule for violation in broken(breaking).violations]


def test_a_false_alarm_of_the_books_is_found(at_rest: System) -> None:
    (violation,) = judge(at_rest, alarms=["sessions: 1 unaccounted for"]).violations
    assert violation.rule == "the pipeline's books raised a false alarm"
