"""What is doubtful in the tables' rows, in words: counts and ids, never a value."""

from __future__ import annotations

from queue_core.channels import Channel
from tutormax_pipeline.findings import Finding, Severity
from tutormax_pipeline.store.unknown_references import UnknownReferences
from tutormax_pipeline.store.unusual_rows import Unusual


def explain_unknown(found: UnknownReferences) -> list[Finding]:
    """Feedback whose session or tutor the tables do not have."""
    if not found.feedback_ids:
        return []
    return [
        Finding(
            check="known_session_and_tutor",
            severity=Severity.WARNING,
            summary=f"{found.sessions:,} feedback rows name a session, and {found.tutors:,} a tutor, that "
            "is not in the tables.",
            remedy="If it waits in its queue or is a dead letter, drain or redrive it; else have its service "
            "publish it.",
            channel="feedback",
        )
    ]


def explain_unusual(channel: Channel, found: list[Unusual]) -> list[Finding]:
    """Rows that are hardly true."""
    return [
        Finding(
            check="usual_range",
            severity=Severity.WARNING,
            summary=f"{one.rows:,} rows of {channel}: {one.what}.",
            remedy="Ask the service that published them; a message with a later timestamp corrects a row.",
            channel=channel.name,
        )
        for one in found
    ]
