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
        *_letters_gone(books),
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
            f"restore). Lost of what it held: {_entries(lost)}; what was published between {seen} and then "
            "cannot be counted.",
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
            f"{_entries(len(books.unrecorded))} acknowledged in the stream and missing from the ledger: rows "
            "were deleted, the store is an older copy, or another program acknowledged without storing.",
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
            f"{_entries(missing)} missing from both the stream and the ledger: deleted by somebody before "
            "being processed (XTRIM, XDEL, a publisher with MAXLEN), or their ledger rows were lost.",
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
            f"{_entries(len(books.deleted_pending))} deleted from the stream (XTRIM, XDEL) by somebody while "
            "being processed.",
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
            f"{_entries(books.lost_unacknowledged)} recorded as lost: deleted from the stream by somebody "
            "before being processed.",
            "Publish them again under the same message ids (message_ledger has their entry ids); then "
            f"{_write_off(books)}.",
        )
    ]


def _letters_gone(books: Books) -> list[Finding]:
    letters = books.letters
    if letters.balanced:
        return []
    since = f" since {letters.seen_at:%Y-%m-%d %H:%M} UTC" if letters.seen_at else ""
    count = "1 dead letter" if letters.gone == 1 else f"{letters.gone:,} dead letters"
    if not letters.gone:
        summary = (
            f"Somebody deleted{since} the count of the dead letters that were redriven, edited or discarded: "
            "none is known to be gone."
        )
    elif letters.exact:
        summary = f"{count} gone{since}: deleted by somebody (DEL, XTRIM, XDEL), without a trace."
    else:
        summary = (
            f"Up to {count} gone{since}: deleted by somebody (FLUSHALL, DEL), together with the count of "
            "those that were redriven, edited or discarded."
        )
    return [
        _finding(
            books,
            "dead_letters_gone",
            summary,
            "Find out who deleted them. message_ledger has their entry and message ids (outcome "
            f"dead_lettered): let the producer publish what is still wanted again; then {_write_off(books)}.",
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
