"""The checks that a snapshot answers: age of the oldest message, and dead letters, under their limits.

They run with every drain, and the queue's sensor evaluates them too: where nothing drains, no run would
ever turn them red.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg

from queue_core.channels import Channel
from queue_core.monitor import ChannelSnapshot
from tutormax_pipeline.alerts import too_many_dead, too_old
from tutormax_pipeline.defs.check_results import evaluation_of, result_of
from tutormax_pipeline.findings import Finding
from tutormax_pipeline.settings import PipelineSettings


@dataclass(frozen=True, slots=True)
class Alert:
    """One of these checks.

    Attributes:
        name: of the check.
        description: what it is about, and what to do when it fails; ``{channel}`` is the channel's name.
        judge: what is wrong.
        figures: what its result shows.
        well: what to say where nothing is wrong.
    """

    name: str
    description: str
    judge: Callable[[ChannelSnapshot, PipelineSettings], list[Finding]]
    figures: Callable[[ChannelSnapshot, PipelineSettings], dict[str, Any]]
    well: str

    def key(self, channel: Channel) -> dg.AssetCheckKey:
        """Which check it is of the channel's table."""
        return dg.AssetCheckKey(dg.AssetKey(channel.name), self.name)

    def spec(self, channel: Channel) -> dg.AssetCheckSpec:
        """The check of the channel's table."""
        return dg.AssetCheckSpec(
            self.name, asset=channel.name, description=self.description.format(channel=channel.name)
        )


def _age_figures(seen: ChannelSnapshot, settings: PipelineSettings) -> dict[str, Any]:
    return {
        "oldest_unprocessed_age_seconds": round(seen.oldest_unprocessed_age_seconds or 0.0, 1),
        "limit_seconds": settings.alert_age_seconds,
        "waiting": seen.waiting,
        "pending": seen.pending,
        "scheduled_for_retry": seen.scheduled,
    }


def _dead_figures(seen: ChannelSnapshot, settings: PipelineSettings) -> dict[str, Any]:
    return {"dead_letters": seen.dead, "limit": settings.alert_dead_letters}


ALERTS = (
    Alert(
        "oldest_unprocessed_age",
        "No message waits or is worked on for longer than `TUTORMAX_ALERT_AGE_SECONDS`. When it fails, this "
        "table is behind: see under **Automation** that `{channel}_queue_sensor` is on and ticks without "
        "error, and in **Runs** whether the last `drain_{channel}` failed (its error says what to do) or "
        "hangs (terminate it: nothing is lost). Launch `reclaim_pending` where messages stay pending though "
        "no run works on them. Evaluated with every drain, and by the sensor each minute in which something "
        "waits.",
        too_old,
        _age_figures,
        "Nothing waits for too long.",
    ),
    Alert(
        "dead_letters_under_limit",
        "At most `TUTORMAX_ALERT_DEAD_LETTERS` dead letters of this channel await a decision. When it fails, "
        "look at the asset `dead_letters`, or run `tutormax dlq groups --channel {channel}`: each group says "
        "what is wrong. Have the publisher mended, then redrive the letters; edit or discard the rest. Some "
        "are allowed because one bad message is for office hours, and many are a publisher that broke.",
        too_many_dead,
        _dead_figures,
        "No more dead letters than may be.",
    ),
)


def alert_result(
    alert: Alert, channel: Channel, seen: ChannelSnapshot, settings: PipelineSettings
) -> dg.AssetCheckResult:
    """The result of one of these checks, for a run."""
    return result_of(
        alert.key(channel), alert.judge(seen, settings), alert.well, alert.figures(seen, settings)
    )


def alert_evaluations(
    instance: dg.DagsterInstance, channel: Channel, seen: ChannelSnapshot, settings: PipelineSettings
) -> Iterator[dg.AssetCheckEvaluation]:
    """What a sensor has to say: every failure, and a success only where the latest record is no success.

    A run may have recorded another verdict since this sensor's last: so Dagster is asked, not a cursor.
    """
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(
        [alert.key(channel) for alert in ALERTS]
    )
    for alert in ALERTS:
        findings = alert.judge(seen, settings)
        record = latest.get(alert.key(channel))
        passed = record is not None and record.status.value == "SUCCEEDED"
        if findings or not passed:
            yield evaluation_of(alert.key(channel), findings, alert.well, alert.figures(seen, settings))
