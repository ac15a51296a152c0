"""What a difference in the books means, in words."""

from __future__ import annotations

from tutormax_pipeline.books import Books
from tutormax_pipeline.findings import Finding, Severity

#: Entry ids that a finding names at most.
NAMED_ENTRIES = 100


def explain(books: Books) -> list[Finding]:
    """Every way in which a channel's books are wrong; empty where they balance and nothing was lost."""
    return [
        *_rewound(books),
        *_unrecorded(books),
        *_missing(books),
        *_too_many(books),
        *_deleted_pending(books),
        *_lost(books),
    ]


def _rewound(books: Books) -> list[Finding]:
    if not books.rewound:
        return []
    lost = max(0, books.difference - len(books.unrecorded))
    seen = f"{books.seen_at:%Y-%m-%d %H:%M} UTC" if books.seen_at else "the last look"
    return [
        _finding(
            books,
            "stream_began_anew",
            f"The stream began anew, or fell back to an older state, after {seen} (FLUSHALL, DEL, or a "
            f"restore): {_entries(lost)} of what it held are lost, and those published after {seen} and "
            "before that cannot be counted.",
            f"Find out who deleted it. Publish again what was published since {seen} and what then waited, "
            f"under the same message ids; then {_write_off(books)}.",
        )
    ]


def _unrecorded(books: Books) -> list[Finding]:
    if not books.unrecorded:
        return []
    return [
        _finding(
            books,
            "not_in_ledger",
            f"{_entries(len(books.unrecorded))} in the stream are acknowledged, and the ledger does not "
            "have them: rows were deleted, the store is an older copy, or another program acknowledged them.",
            "Run 'tutormax doctor --repair': it puts them back, and the next drain settles them.",
            books.unrecorded,
        )
    ]


def _missing(books: Books) -> list[Finding]:
    missing = books.difference - len(books.unrecorded)
    if books.rewound or missing <= 0:
        return []
    return [
        _finding(
            books,
            "deleted_unread",
            f"{_entries(missing)} are neither in the stream nor in the ledger: somebody deleted them before "
            "they were processed (XTRIM, XDEL, a publisher with MAXLEN), or their ledger rows were lost.",
            "Find out who deleted them, and publish them again under the same message ids; then "
            f"{_write_off(books)}.",
        )
    ]


def _too_many(books: Books) -> list[Finding]:
    if books.difference >= 0:
        return []
    return [
        _finding(
            books,
            "more_than_added",
            f"The ledger has {_entries(-books.difference)} more than the stream ever had: it was deleted and "
            "began anew (FLUSHALL, DEL), Redis is an older copy or another one, or REDIS_KEY_PREFIX changed.",
            f"Check REDIS_URL and REDIS_KEY_PREFIX. If they are right, {_write_off(books)}.",
        )
    ]


def _deleted_pending(books: Books) -> list[Finding]:
    if not books.deleted_pending:
        return []
    return [
        _finding(
            books,
            "deleted_pending",
            f"{_entries(len(books.deleted_pending))} were deleted from the stream (XTRIM, XDEL) while they "
            "were being processed.",
            "Find out who deleted them. A drain that still holds them settles them; else the next one "
            "records them as lost.",
            books.deleted_pending,
        )
    ]


def _lost(books: Books) -> list[Finding]:
    if not books.lost_unacknowledged:
        return []
    return [
        _finding(
            books,
            "lost",
            f"{_entries(books.lost_unacknowledged)} are recorded as lost: they were deleted from the stream "
            "before they were processed.",
            "Publish them again under the same message ids (message_ledger has their entry ids); then "
            f"{_write_off(books)}.",
        )
    ]


def _finding(books: Books, check: str, summary: str, remedy: str, entry_ids: tuple[str, ...] = ()) -> Finding:
    return Finding(
        check=check,
        severity=Severity.ERROR,
        summary=summary,
        remedy=remedy,
        channel=books.channel.name,
        entry_ids=entry_ids[:NAMED_ENTRIES],
    )


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count:,} entries"


def _write_off(books: Books) -> str:
    return f"'tutormax doctor --write-off {books.channel} --why \"...\"'"
