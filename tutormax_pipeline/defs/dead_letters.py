"""The asset `dead_letters`: what is dead now, as a table, and a report that says what to do about it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from queue_core import QueueChannels, QueueError
from queue_core.letter_counts import LetterTraffic
from queue_core.letter_groups import LetterGroup
from tutormax_pipeline.defs.assets import queue_key
from tutormax_pipeline.defs.column_schema import column_schema
from tutormax_pipeline.defs.lanes import MAX_RUNTIME_SECONDS, OWNERS
from tutormax_pipeline.defs.letter_report import fault_shown, is_ours, report
from tutormax_pipeline.defs.resources import QueueResource, StoreResource
from tutormax_pipeline.stock import EXAMPLES, Stock, take_stock
from tutormax_pipeline.store import StoreError
from tutormax_pipeline.store.tables import dead_letters as table

_GROUP_COLUMNS = [
    dg.TableColumn("letters", "int"),
    dg.TableColumn("channel", "string"),
    dg.TableColumn("reason", "string"),
    dg.TableColumn("error", "string", description="What is wrong; never a value of a message."),
    dg.TableColumn("oldest", "string", description="When the first of them failed, UTC."),
    dg.TableColumn("newest", "string", description="When the last of them failed, UTC."),
    dg.TableColumn("most_redrives", "int", description="Times that one of them was redriven before."),
    dg.TableColumn("example", "string", description="The newest: `tutormax dlq show ID` shows it whole."),
]


@dg.asset(
    name="dead_letters",
    group_name="queue",
    deps=[queue_key(channel) for channel in QueueChannels.all()],
    kinds={"redis", "table"},
    owners=OWNERS,
    tags={"refreshed": "automatically"},
    code_version="1",
    description="The messages that could not be stored, and why: one row for each, nothing of what is in "
    "them. **Materialize** takes stock anew; `dead_letter_sensor` does so whenever letters came or went.\n\n"
    "The metadata `report` of the newest materialization says what is wrong, and has the config that puts a "
    "group back (`redrive_dead_letters`) or throws it away (`discard_dead_letters`), ready to paste.",
    metadata={
        "dagster/table_name": table.name,
        "dagster/column_schema": column_schema(table),
    },
)
def dead_letters_asset(
    context: dg.AssetExecutionContext, queue: QueueResource, store: StoreResource
) -> dg.MaterializeResult[Any]:
    """Take stock."""
    try:
        with queue.connect() as client, store.open() as tables:
            stock = take_stock(client, tables, datetime.now(UTC))
    except (QueueError, StoreError) as error:
        raise dg.Failure(description=str(error)) from error
    context.log.info("%d dead letters in %d groups.", stock.letters, len(stock.groups))
    return dg.MaterializeResult(metadata=_metadata(stock))


review_dead_letters = dg.define_asset_job(
    "review_dead_letters",
    selection=dg.AssetSelection.assets("dead_letters"),
    description="Take stock of the dead letters: the table `dead_letters`, and the report on what is wrong "
    "with them. Moves none.",
    tags={"queue": "dead_letters", "dagster/max_runtime": str(MAX_RUNTIME_SECONDS)},
    executor_def=dg.in_process_executor,
)

review_dead_letters_schedule = dg.ScheduleDefinition(
    name="review_dead_letters_schedule",
    job=review_dead_letters,
    cron_schedule="0 8 * * 1-5",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Takes stock of the dead letters on weekday mornings, so that the report's ages are of today "
    "also where no letter came or went.",
)


def reviewed(instance: dg.DagsterInstance) -> LetterTraffic | None:
    """What the last review saw, by whatever run; None where there was none."""
    event = instance.get_latest_materialization_event(dead_letters_asset.key)
    found = event.asset_materialization if event is not None else None
    if found is None:
        return None
    seen = [found.metadata.get(name) for name in ("letters_at_start", "letters_ever")]
    letters, ever = (one.value if isinstance(one, dg.IntMetadataValue) else None for one in seen)
    return None if letters is None or ever is None else LetterTraffic(letters, ever)


def _metadata(stock: Stock) -> Mapping[str, Any]:
    metadata: dict[str, Any] = {
        "dagster/row_count": stock.letters,
        "report": dg.MetadataValue.md(report(stock)),
        "letters": stock.letters,
        **{channel.name: stock.by_channel[channel.name] for channel in QueueChannels.all()},
        "groups": dg.MetadataValue.table(
            [dg.TableRecord(_row(group)) for group in stock.groups[:EXAMPLES]],
            schema=dg.TableSchema(columns=_GROUP_COLUMNS),
        ),
        "letters_at_start": stock.traffic.letters,
        "letters_ever": stock.traffic.ever,
    }
    others = stock.letters - sum(stock.by_channel[channel.name] for channel in QueueChannels.all())
    if others:
        metadata["of_no_channel_of_ours"] = others
    if stock.oldest_failed_at is not None:
        age_seconds = (stock.taken_at - stock.oldest_failed_at).total_seconds()
        metadata["oldest_age_hours"] = round(max(0.0, age_seconds) / 3_600, 2)
    return metadata


def _row(group: LetterGroup) -> dict[str, str | int | float | bool | None]:
    ours = is_ours(group)
    return {
        "letters": group.count,
        "channel": group.channel if ours else "",
        "reason": group.reason if ours else "",
        "error": fault_shown(group) if ours else "written by some other program",
        "oldest": f"{group.oldest:%Y-%m-%d %H:%M:%S}",
        "newest": f"{group.newest:%Y-%m-%d %H:%M:%S}",
        "most_redrives": group.most_redrives,
        "example": group.example_id,
    }
