"""The verdict: what was published, compared with what is stored, row by row and byte by byte.

The plan is made again and put into a database beside the store's; each rule is a query that gives what
breaks it. Memory stays flat: everything streams through tables.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain

from queue_core import Channel, QueueChannels
from queue_core.outcomes import Outcome
from tests.chaos.plan import TEXT_COLUMN
from tests.chaos.system import System
from tutormax_pipeline.store.sqlite_batch import as_text

_EXAMPLES = 10
_PAGE = 1_000

_TABLES = """
CREATE TABLE planned (
    channel TEXT, message_id TEXT, record_id TEXT, published_at TEXT, reason TEXT, body BLOB, known INTEGER,
    PRIMARY KEY (channel, message_id)
) WITHOUT ROWID;
CREATE TABLE letters (channel TEXT, entry_id TEXT, reason TEXT, body BLOB);
CREATE TABLE newest (
    channel TEXT, record_id TEXT, message_id TEXT, published_at TEXT, PRIMARY KEY (channel, record_id)
) WITHOUT ROWID;
"""

_INDEXES = """
CREATE INDEX planned_body ON planned (channel, body) WHERE body IS NOT NULL;
CREATE INDEX letters_body ON letters (channel, body);
CREATE INDEX letters_entry ON letters (channel, entry_id);
"""

# Newest is by time, then by entry id: that of the entry which the ledger has as stored.
_NEWEST = """
INSERT INTO newest
SELECT channel, record_id, message_id, published_at FROM (
    SELECT p.channel, p.record_id, p.message_id, p.published_at, row_number() OVER (
        PARTITION BY p.channel, p.record_id
        ORDER BY p.published_at DESC, CAST(l.entry_id AS INTEGER) DESC,
            CAST(substr(l.entry_id, instr(l.entry_id, '-') + 1) AS INTEGER) DESC
    ) AS place
    FROM planned p JOIN message_ledger l
        ON l.channel = p.channel AND l.message_id = p.message_id AND l.outcome = 'stored'
) WHERE place = 1
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that must not be.

    Attributes:
        name: what is wrong where the query gives anything.
        query: gives what breaks it: channel, and the id of a message or an entry.
        when_forgotten: whether it holds even if the server forgot everything (FLUSHALL).
    """

    name: str
    query: str
    when_forgotten: bool = True


RULES = [
    Rule(
        "lost: published, and not stored",
        "SELECT channel, message_id FROM planned p WHERE reason IS NULL AND known AND NOT EXISTS (SELECT 1 "
        "FROM message_ledger l WHERE l.channel = p.channel AND l.message_id = p.message_id "
        "AND l.outcome = 'stored')",
        when_forgotten=False,
    ),
    Rule(
        "lost: deleted before it was processed",
        "SELECT channel, entry_id FROM message_ledger WHERE outcome = 'lost'",
        when_forgotten=False,
    ),
    Rule(
        "stored twice",
        "SELECT channel, message_id FROM message_ledger WHERE outcome = 'stored' "
        "GROUP BY channel, message_id HAVING count(*) > 1",
    ),
    Rule(
        "stored, and never published as a good message",
        "SELECT channel, message_id FROM message_ledger l WHERE outcome IN ('stored', 'duplicate') "
        "AND NOT EXISTS (SELECT 1 FROM planned p WHERE p.channel = l.channel "
        "AND p.message_id = l.message_id AND p.reason IS NULL)",
    ),
    Rule(
        "duplicate of nothing that is stored",
        "SELECT channel, message_id FROM message_ledger d WHERE outcome = 'duplicate' AND NOT EXISTS "
        "(SELECT 1 FROM message_ledger s WHERE s.channel = d.channel AND s.message_id = d.message_id "
        "AND s.outcome = 'stored')",
    ),
    Rule(
        "poison without a dead letter of its exact bytes",
        "SELECT channel, message_id FROM planned p WHERE reason IS NOT NULL AND known AND NOT EXISTS "
        "(SELECT 1 FROM letters d WHERE d.channel = p.channel AND d.body = p.body)",
        when_forgotten=False,
    ),
    Rule(
        "dead letter that is no poison, or has other bytes or another reason",
        "SELECT channel, entry_id || ' ' || reason FROM letters d WHERE NOT EXISTS "
        "(SELECT 1 FROM planned p INDEXED BY planned_body "
        "WHERE p.channel = d.channel AND p.body = d.body AND p.reason = d.reason)",
    ),
    Rule(
        "two dead letters of one entry",
        "SELECT channel, entry_id FROM letters GROUP BY channel, entry_id HAVING count(*) > 1",
    ),
    Rule(
        "dead letter that the ledger does not have, or with another reason",
        "SELECT channel, entry_id FROM letters d WHERE NOT EXISTS (SELECT 1 FROM message_ledger l "
        "WHERE l.channel = d.channel AND l.entry_id = d.entry_id AND l.outcome = 'dead_lettered' "
        "AND l.reason = d.reason)",
    ),
    Rule(
        "dead in the ledger, and without a letter",
        "SELECT channel, entry_id FROM message_ledger l WHERE outcome = 'dead_lettered' AND NOT EXISTS "
        "(SELECT 1 FROM letters d WHERE d.channel = l.channel AND d.entry_id = l.entry_id)",
        when_forgotten=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that is broken.

    Attributes:
        rule: which one.
        count: how often.
        examples: some of what breaks it.
    """

    rule: str
    count: int
    examples: tuple[str, ...]


@dataclass(slots=True)
class Verdict:
    """What is right and wrong.

    Attributes:
        outcomes: ledger rows by final state, of all channels.
        entries_added: entries that the streams ever had, as they say.
        rows: rows in the tables.
        violations: what is wrong; none is a pass.
        alarm: whether the books do not balance. After a FLUSHALL they must not.
    """

    outcomes: dict[Outcome, int]
    entries_added: int = 0
    rows: int = 0
    violations: list[Violation] = field(default_factory=list)
    alarm: bool = False

    def found(self, rule: str, examples: list[str]) -> None:
        """Note what breaks a rule, if anything does."""
        if examples:
            self.violations.append(Violation(rule, len(examples), tuple(examples[:_EXAMPLES])))


def judge(
    system: System, *, drained: bool = True, alarms: Sequence[str] = (), forgotten: bool = False
) -> Verdict:
    """Compare everything; nothing may publish or drain meanwhile.

    Args:
        system: at rest.
        drained: whether it came to rest by itself.
        alarms: what the pipeline's own books said where they did not balance.
        forgotten: whether the server forgot what it had: then what is stored must be right, what was in
            the server may be missing, and the books must not balance.
    """
    path = system.folder / "verdict.db"
    path.unlink(missing_ok=True)
    verdict = Verdict(dict.fromkeys(Outcome, 0))
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute("ATTACH ? AS store", (str(system.store_path),))
        database.executescript(_TABLES)
        database.executemany("INSERT INTO planned VALUES (?, ?, ?, ?, ?, ?, ?)", _planned(system))
        database.executemany("INSERT INTO letters VALUES (?, ?, ?, ?)", _letters(system))
        database.executescript(_INDEXES)
        database.execute(_NEWEST)
        for rule in RULES:
            if rule.when_forgotten or not forgotten:
                verdict.found(rule.name, _lines(database, rule.query))
        for channel in QueueChannels.all():
            _compare_rows(database, channel, verdict)
        _balance(system, database, verdict)
    if not drained:
        verdict.found("something was left when everything was healed", ["see waiting and pending"])
    if forgotten:
        if not verdict.alarm or not alarms:
            verdict.found("the server forgot everything, and the books balance", ["all channels"])
        return verdict
    if verdict.alarm:
        verdict.found("the books do not balance", _accounts(system, verdict))
    verdict.found("the pipeline's books raised a false alarm", list(alarms))
    return verdict


def _planned(system: System) -> Iterator[tuple[object, ...]]:
    for publisher, acknowledged in enumerate(system.batches_published):
        # The next one may be published in part, if its publisher was killed: of that nobody was told.
        for number in range(acknowledged + 1):
            for one in system.plan.batch(publisher, number):
                yield (
                    one.channel.name,
                    one.message_id,
                    one.record_id,
                    as_text(one.published_at),
                    one.reason,
                    system.plan.body(one) if one.reason else None,
                    number < acknowledged,
                )


def _letters(system: System) -> Iterator[tuple[object, ...]]:
    with system.client() as client:
        start = "-"
        while page := client.redis.xrange(client.keys.dead_letter, start, "+", count=_PAGE):
            start = b"(" + page[-1][0]
            for _, fields in page:
                texts = [fields[name].decode() for name in (b"channel", b"entry_id", b"reason")]
                yield (*texts, fields.get(b"message"))


def _compare_rows(database: sqlite3.Connection, channel: Channel, verdict: Verdict) -> None:
    expected = (
        "SELECT record_id, message_id, published_at, message_id, message_id FROM newest WHERE channel = ?"
    )
    actual = (
        f"SELECT {channel.id_field}, message_id, published_at, {TEXT_COLUMN[channel]}, "
        f"json_extract(extra, '$.unlisted') FROM store.{channel.name}"
    )
    queries = {
        "row that is missing, or is not from the record's newest message": f"{expected} EXCEPT {actual}",
        "row that nobody published like this": f"{actual} EXCEPT {expected}",
    }
    for rule, query in queries.items():
        verdict.found(rule, [f"{channel} {row}" for row in database.execute(query, (channel.name,))])
    verdict.rows += database.execute(f"SELECT count(*) FROM store.{channel.name}").fetchone()[0]


def _balance(system: System, database: sqlite3.Connection, verdict: Verdict) -> None:
    with system.client() as client:
        for channel, seen in zip(QueueChannels.all(), system.look(), strict=True):
            recorded = {
                Outcome(outcome): count
                for outcome, count in database.execute(
                    "SELECT outcome, count(*) FROM message_ledger WHERE channel = ? GROUP BY outcome",
                    (channel.name,),
                )
            }
            for outcome, count in recorded.items():
                verdict.outcomes[outcome] += count
            verdict.entries_added += seen.entries_added
            verdict.alarm |= seen.entries_added != sum(recorded.values()) + seen.waiting + seen.pending
            letters = database.execute(
                "SELECT count(*) FROM letters WHERE channel = ?", (channel.name,)
            ).fetchone()[0]
            keys = client.keys
            left = {
                "waiting": seen.waiting,
                "pending": seen.pending,
                "scheduled for retry": seen.scheduled,
                "attempts on record": client.redis.hlen(keys.processing(channel)),
                "letters not counted": abs(letters - seen.dead),
            }
            verdict.found("left behind", [f"{channel}: {n} {what}" for what, n in left.items() if n])


def _accounts(system: System, verdict: Verdict) -> list[str]:
    recorded = ", ".join(f"{count} {outcome}" for outcome, count in verdict.outcomes.items())
    return [f"entries added {verdict.entries_added}, {recorded}"] + [str(seen) for seen in system.look()]


def _lines(database: sqlite3.Connection, query: str) -> list[str]:
    return list(chain(" ".join(map(str, row)) for row in database.execute(query)))
