"""Which dead letters a job is about: the same fields in the launchpad of each."""

import dagster as dg
from pydantic import Field

from queue_core import QueueChannels
from queue_core.letter_filter import LetterFilter
from queue_core.outcomes import Reason

_REASONS = [one.value for one in Reason]


class LetterChoice(dg.Config):
    """Letters that fit everything that is given; all of them, when nothing is."""

    channel: str | None = Field(
        default=None,
        description=f"Those of this channel: {', '.join(one.name for one in QueueChannels.all())}.",
    )
    reason: str | None = Field(default=None, description=f"Those that failed so: {', '.join(_REASONS)}.")
    fault: str | None = Field(
        default=None,
        description="Those whose first error is this one, as the report on the dead letters says it: `#` "
        "stands for any number, `*` for any place in a list.",
    )
    error: str | None = Field(
        default=None, description="Those with this text in any of their errors, in capitals or not."
    )
    message_id: str | None = Field(default=None, description="Those whose message has this id.")
    ids: list[str] = Field(default=[], description="These letters, by their ids; empty: all.")
    older_than_seconds: float | None = Field(default=None, ge=0, description="Failed longer ago than this.")
    newer_than_seconds: float | None = Field(
        default=None, ge=0, description="Failed less long ago than this."
    )
    dry_run: bool = Field(
        default=True, description="Change nothing and say what would be done. `false` does it."
    )

    def chosen(self) -> LetterFilter:
        """The same, for the queue.

        Raises:
            ConfigurationError: there is no such channel.
            ValueError: there is no such reason, or an id or an age that cannot be.
        """
        if self.reason is not None and self.reason not in _REASONS:
            raise ValueError(f"There is no reason {self.reason!r}; the reasons are {', '.join(_REASONS)}.")
        return LetterFilter(
            channel=QueueChannels.find(self.channel) if self.channel is not None else None,
            reason=self.reason,
            error=self.error,
            fault=self.fault,
            message_id=self.message_id,
            ids=tuple(self.ids) or None,
            older_than_seconds=self.older_than_seconds,
            newer_than_seconds=self.newer_than_seconds,
        )
