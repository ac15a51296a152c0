"""When a drain is to start: decided from a snapshot alone."""

from __future__ import annotations

from dataclasses import dataclass

from queue_core.monitor import ChannelSnapshot
from tutormax_pipeline.settings import PipelineSettings


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to start a drain, and why (or why not), in words for the sensor's tick."""

    launch: bool
    why: str


def decide(snapshot: ChannelSnapshot, settings: PipelineSettings, runs_in_flight: int) -> Decision:
    """Start by count or by age, never beside a run of the same lane."""
    if runs_in_flight:
        return Decision(False, f"A drain of {snapshot.channel} is running; it takes what arrives.")
    if snapshot.claimable:
        return Decision(True, "Messages were left by a consumer that is gone.")
    if snapshot.next_retry_in_seconds is not None and snapshot.next_retry_in_seconds <= 0:
        return Decision(True, "A retry is due.")
    if snapshot.waiting == 0:
        return Decision(False, f"Nothing waits; {snapshot.pending} pending, {snapshot.dead} dead letters.")
    if snapshot.waiting >= settings.drain_min_messages:
        return Decision(True, f"{snapshot.waiting} messages wait.")
    age_seconds = snapshot.oldest_unprocessed_age_seconds or 0.0
    if age_seconds >= settings.drain_max_wait_seconds:
        return Decision(True, f"{snapshot.waiting} messages wait, the oldest for {age_seconds:.0f} s.")
    return Decision(
        False,
        f"{snapshot.waiting} messages wait, fewer than "
        f"TUTORMAX_DRAIN_MIN_MESSAGES={settings.drain_min_messages}, and none longer than "
        f"TUTORMAX_DRAIN_MAX_WAIT_SECONDS={settings.drain_max_wait_seconds:g}.",
    )
