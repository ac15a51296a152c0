"""The job that gives back what consumers hold and no longer work on."""

from collections.abc import Iterable

import dagster as dg
from pydantic import Field

from queue_core import QueueChannels, QueueError
from queue_core.reclaim import ReclaimReport, reclaim
from tutormax_pipeline.defs.lanes import reclaim_tags
from tutormax_pipeline.defs.resources import QueueResource, StoreResource
from tutormax_pipeline.losses import record_losses
from tutormax_pipeline.store import StoreError

Row = dict[str, str | int | float | bool | None]


class ReclaimConfig(dg.Config):
    """What to give back. As it stands: what was held for longer than a message may be processed."""

    channels: list[str] = Field(default=[], description="Names of channels; empty: all.")
    min_idle_seconds: float | None = Field(
        default=None,
        ge=0,
        description="Least seconds since it was delivered; empty: REDIS_WORKER_MAX_PROCESSING_TIME_SECONDS. "
        "0 gives back everything, also what a drain works on now: harmless, but done twice.",
    )
    consumer: str | None = Field(
        default=None, description="Only what this consumer holds, `run:<run id>`; empty: all."
    )


@dg.op(
    name="reclaim",
    description="Give back the entries that consumers hold and no longer work on.",
    out=dg.Out(list, description="One row for each consumer that held something."),
    tags={"kind": "redis"},
)
def reclaim_op(
    context: dg.OpExecutionContext, config: ReclaimConfig, queue: QueueResource, store: StoreResource
) -> list[Row]:
    """Returns channel, consumer, entries given back, entries lost, oldest in seconds, most deliveries."""
    channels = [QueueChannels.find(name) for name in config.channels] or list(QueueChannels.all())
    idle_ms = None if config.min_idle_seconds is None else int(config.min_idle_seconds * 1000)
    try:
        with queue.connect() as client, store.open() as tables:
            reports = []
            for channel in channels:
                report = reclaim(client, channel, min_idle_ms=idle_ms, consumer=config.consumer)
                record_losses(client, tables, channel, report.lost, context.run_id)
                reports.append(report)
    except (QueueError, StoreError) as error:
        raise dg.Failure(description=str(error)) from error
    rows = [row for report in reports for row in _rows(report)]
    context.log.info(_summary(reports))
    for report in reports:
        if report.lost:
            context.log.error(_LOST, len(report.lost), report.channel)
    context.add_output_metadata(
        {
            "given_back": sum(report.given_back for report in reports),
            "lost": sum(len(report.lost) for report in reports),
            "scheduled_for_retry": sum(report.scheduled for report in reports),
            "by_consumer": dg.MetadataValue.table(
                [dg.TableRecord(row) for row in rows],
                schema=dg.TableSchema(columns=_COLUMNS),
            ),
        }
    )
    return rows


@dg.job(
    description="Give back what consumers hold and no longer work on, so that the next drain takes it at "
    "once. The sensors start that drain by themselves.\n\nUse it when messages stay pending: with "
    "`min_idle_seconds` lower than usual when you know that nobody works on them.",
    tags=reclaim_tags(),
    executor_def=dg.in_process_executor,
)
def reclaim_pending() -> None:
    """One op."""
    reclaim_op()


_LOST = "%d pending entries of %s were deleted from the stream by somebody. The ledger has them as lost."
_COLUMNS = [
    dg.TableColumn("channel", "string"),
    dg.TableColumn("consumer", "string", description="Who held them."),
    dg.TableColumn("given_back", "int", description="The next drain takes them."),
    dg.TableColumn("lost", "int", description="Deleted from the stream by somebody; recorded in the ledger."),
    dg.TableColumn("oldest_seconds", "float", description="Longest time since a delivery."),
    dg.TableColumn("most_deliveries", "int"),
]


def _rows(report: ReclaimReport) -> Iterable[Row]:
    for holding in report.holdings.values():
        yield {
            "channel": report.channel,
            "consumer": holding.consumer,
            "given_back": holding.given_back,
            "lost": holding.lost,
            "oldest_seconds": round(holding.oldest_idle_ms / 1000, 1),
            "most_deliveries": holding.most_deliveries,
        }


def _summary(reports: Iterable[ReclaimReport]) -> str:
    parts = [
        f"{report.channel}: {report.given_back} given back, {len(report.lost)} lost, "
        f"{report.scheduled} left to wait for their retry"
        for report in reports
    ]
    return "; ".join(parts) + "."
