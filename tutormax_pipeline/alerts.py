"""What of a channel calls for a person: decided from a snapshot alone."""

from __future__ import annotations

from queue_core.monitor import ChannelSnapshot
from tutormax_pipeline.findings import Finding, Severity
from tutormax_pipeline.settings import PipelineSettings


def too_old(seen: ChannelSnapshot, settings: PipelineSettings) -> list[Finding]:
    """Whether something has waited for too long: nobody drains, or the drains do not get on."""
    age_seconds = seen.oldest_unprocessed_age_seconds or 0.0
    if age_seconds <= settings.alert_age_seconds:
        return []
    return [
        Finding(
            check="oldest_unprocessed_age",
            severity=Severity.ERROR,
            summary=f"The oldest unprocessed message of {seen.channel} is {age_seconds:,.0f} s old, more "
            f"than TUTORMAX_ALERT_AGE_SECONDS={settings.alert_age_seconds:g}; {seen.waiting:,} wait, "
            f"{seen.pending:,} are pending ({seen.scheduled:,} of them scheduled for retry).",
            remedy=_remedy(seen),
            channel=seen.channel,
        )
    ]


def too_many_dead(seen: ChannelSnapshot, settings: PipelineSettings) -> list[Finding]:
    """Whether more dead letters lie there than may."""
    if seen.dead <= settings.alert_dead_letters:
        return []
    return [
        Finding(
            check="dead_letters_under_limit",
            severity=Severity.ERROR,
            summary=f"{seen.dead:,} dead letters of {seen.channel}, more than "
            f"TUTORMAX_ALERT_DEAD_LETTERS={settings.alert_dead_letters}.",
            remedy=f"'tutormax dlq groups --channel {seen.channel}' says what is wrong with them. Have the "
            "publisher mended, then redrive them; or discard what nobody misses.",
            channel=seen.channel,
        )
    ]


def _remedy(seen: ChannelSnapshot) -> str:
    if seen.scheduled and seen.scheduled == seen.pending and not seen.waiting:
        return "It fails again and again and is retried: see the latest run's log for why."
    if seen.waiting:
        return (
            f"See that {seen.channel}_queue_sensor is on and its last ticks succeeded, and whether the last "
            f"runs of drain_{seen.channel} failed or one hangs (terminate it). "
            f"'tutormax drain {seen.channel}' drains by hand."
        )
    return (
        "Whoever holds it hangs or is gone: terminate a run that does not get on, or launch reclaim_pending; "
        "the next drain takes it."
    )
