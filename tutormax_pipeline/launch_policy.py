"""When a drain is to start: decided from a snapshot alone."""

from __future__ import annotations

from dataclasses import dataclass

from queue_core.monitor import ChannelSnapshot
from tutormax_pipeline.settings import PipelineSettings

#: Backlog that a run drains in about the seconds which another takes to start, on a slow store.
MESSAGES_PER_RUN = 20_000


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to start a drain, and why (or why not), in words for the sensor's tick."""

    launch: bool
    why: str


def decide(snapshot: ChannelSnapshot, settings: PipelineSettings, runs_in_flight: int) -> Decision:
    """Start the first run of a lane by count or by age, a further one only for a large backlog."""
    if runs_in_flight:
        return _beside(snapshot, settings, runs_in_flight)
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


def _beside(snapshot: ChannelSnapshot, settings: PipelineSettings, runs_in_flight: int) -> Decision:
    if runs_in_flight >= settings.drain_max_parallel_runs:
        return Decision(False, f"A drain of {snapshot.channel} is running; it takes what arrives.")
    # A run that was asked for and has not begun counts too: the next one needs so much more.
    needed = MESSAGES_PER_RUN * runs_in_flight
    if snapshot.waiting <= needed:
        return Decision(
            False,
            f"{snapshot.waiting} messages of {snapshot.channel} wait, which {runs_in_flight} running drains "
            f"take soon; another starts beyond {needed}.",
        )
    return Decision(
        True,
        f"{snapshot.waiting} messages wait, too many for {runs_in_flight} running drains; at most "
        f"TUTORMAX_DRAIN_MAX_PARALLEL_RUNS={settings.drain_max_parallel_runs} run at once.",
    )
