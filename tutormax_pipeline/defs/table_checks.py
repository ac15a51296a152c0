"""The other checks of each table, in one step with every drain: limits of its queue, and doubtful rows.

One step, because each step of a run costs a dozen events that are kept.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from queue_core import QueueChannels, QueueError
from queue_core.channels import Channel
from queue_core.monitor import snapshot
from tutormax_pipeline.defs.check_results import result_of
from tutormax_pipeline.defs.queue_alerts import ALERTS, alert_result
from tutormax_pipeline.defs.resources import QueueResource, StoreResource
from tutormax_pipeline.row_findings import explain_unknown, explain_unusual
from tutormax_pipeline.settings import PipelineSettings
from tutormax_pipeline.store import Store, StoreError
from tutormax_pipeline.store.unknown_references import unknown_references
from tutormax_pipeline.store.unusual_rows import unusual_rows

#: Ids that a result names, of each kind.
_IDS_SHOWN = 20

_USUAL = "usual_range"
_KNOWN = "known_session_and_tutor"

_USUAL_DESCRIPTION = (
    "No row is valid and yet hardly true: a session longer than 12 hours or that ends before it starts, "
    "feedback from the future or whose rating contradicts its sentiment, a message published in the future. "
    "A warning: the rows are stored. When it fails, its result counts them and names up to 20 ids of each "
    "kind: ask the service that published them, and have it publish a correction, which wins by its later "
    "timestamp."
)
_KNOWN_DESCRIPTION = (
    "Every feedback's session and tutor are in the tables. A warning: the rows are stored. When it fails, "
    "its result names up to 20 ids. What still waits in its queue counts as unknown until it is drained, so "
    "look again after the next drain of `sessions` and `tutors`; then look for it among the dead letters; "
    "else have its service publish it."
)


def _specs(channel: Channel) -> Iterator[dg.AssetCheckSpec]:
    yield from (alert.spec(channel) for alert in ALERTS)
    yield dg.AssetCheckSpec(_USUAL, asset=channel.name, description=_USUAL_DESCRIPTION)
    if channel == QueueChannels.FEEDBACK:
        yield dg.AssetCheckSpec(_KNOWN, asset=channel.name, description=_KNOWN_DESCRIPTION)


def _table_checks(channel: Channel) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=f"{channel.name}_checks",
        specs=list(_specs(channel)),
        can_subset=True,
        description=f"Limits of `queue/{channel.name}`, and doubtful rows of `{channel.name}`.",
    )
    def check_table(
        context: dg.AssetCheckExecutionContext, queue: QueueResource, store: StoreResource
    ) -> Iterator[dg.AssetCheckResult]:
        wanted = {key.name for key in context.selected_asset_check_keys}
        try:
            yield from _limits(channel, queue, wanted)
            yield from _rows(channel, store, wanted)
        except (QueueError, StoreError) as error:
            raise dg.Failure(description=str(error)) from error

    return check_table


def _limits(channel: Channel, queue: QueueResource, wanted: set[str]) -> Iterator[dg.AssetCheckResult]:
    alerts = [alert for alert in ALERTS if alert.name in wanted]
    if not alerts:
        return
    settings = PipelineSettings.load()
    with queue.connect() as client:
        seen = snapshot(client, channel)
    yield from (alert_result(alert, channel, seen, settings) for alert in alerts)


def _rows(channel: Channel, store: StoreResource, wanted: set[str]) -> Iterator[dg.AssetCheckResult]:
    if not wanted & {_USUAL, _KNOWN}:
        return
    with store.open() as tables:
        if _USUAL in wanted:
            yield _usual(channel, tables)
        if _KNOWN in wanted:
            yield _known(channel, tables)


def _usual(channel: Channel, store: Store) -> dg.AssetCheckResult:
    found = unusual_rows(store, channel, datetime.now(UTC), _IDS_SHOWN)
    ids = {one.what: list(one.ids) for one in found}
    return result_of(
        dg.AssetCheckKey(dg.AssetKey(channel.name), _USUAL),
        explain_unusual(channel, found),
        "No unusual row.",
        {"unusual_rows": sum(one.rows for one in found), "ids": dg.MetadataValue.json(ids)},
    )


def _known(channel: Channel, store: Store) -> dg.AssetCheckResult:
    found = unknown_references(store, _IDS_SHOWN)
    return result_of(
        dg.AssetCheckKey(dg.AssetKey(channel.name), _KNOWN),
        explain_unknown(found),
        "Every session and tutor is known.",
        {
            "unknown_sessions": found.sessions,
            "unknown_tutors": found.tutors,
            "feedback_ids": dg.MetadataValue.json(list(found.feedback_ids)),
        },
    )


table_checks = [_table_checks(channel) for channel in QueueChannels.all()]
