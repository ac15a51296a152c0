"""What a drain did, for the run's metadata, the command line and tests."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from queue_core.monitor import ChannelSnapshot
from queue_core.outcomes import Outcome, Reason
from tutormax_pipeline.latency import LatencyHistogram
from tutormax_pipeline.store import Settlement


@dataclass(slots=True)
class DrainReport:
    """What a drain did.

    Attributes:
        channel: name of the channel.
        before: the channel as the drain found it.
        after: the channel as the drain left it.
        outcomes: entries by final state, those settled now.
        repeated: entries that the ledger had from an earlier delivery; acknowledged, not written again.
        reasons: dead letters by reason.
        lost: ids that were deleted from the stream before they were processed.
        retried: attempts that failed and are to be tried again.
        outages: seconds of each time that Redis or the database was away and was waited for.
        batches: transactions.
        seconds: how long it took, lingering included.
        working_seconds: how long it took without waiting for messages.
        latency: from the entry's arrival in the stream to its commit.
        stopped: whether it was asked to stop.
    """

    channel: str
    before: ChannelSnapshot
    after: ChannelSnapshot
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    repeated: int = 0
    reasons: Counter[Reason] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    retried: int = 0
    outages: list[float] = field(default_factory=list)
    batches: int = 0
    seconds: float = 0.0
    working_seconds: float = 0.0
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)
    stopped: bool = False

    @property
    def messages(self) -> int:
        """Entries settled, repeated ones included."""
        return self.outcomes.total() + self.repeated

    @property
    def messages_per_second(self) -> float:
        """Rate while there was something to do."""
        return self.messages / self.working_seconds if self.working_seconds > 0 else 0.0

    def add(self, settlements: Sequence[Settlement], retried: int = 0) -> None:
        """Count a batch: its final states, and the attempts to be made again."""
        now_ms = time.time() * 1000
        new = [one for one in settlements if not one.repeated]
        self.batches += 1
        self.retried += retried
        self.repeated += len(settlements) - len(new)
        self.outcomes.update([one.outcome for one in new])
        self.reasons.update([one.rejection.reason for one in new if one.rejection is not None])
        if self.outcomes[Outcome.LOST]:
            self.lost += [one.arrival.entry.id for one in new if one.outcome is Outcome.LOST]
        done = [one.arrival.entry for one in new if one.arrival.message and not one.rejection]
        added = Counter([entry.added_ms for entry in done])
        for added_ms, count in added.items():
            self.latency.add(now_ms - added_ms, count)
