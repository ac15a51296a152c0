"""The assets: `queue/<channel>` outside, and the table that draining it fills."""

from typing import Any

import dagster as dg
from pydantic import Field

from queue_core import MessageConsumer, QueueChannels, QueueError
from queue_core.channels import Channel
from queue_core.stopping import stop_on_signals
from tutormax_pipeline.batches import BATCH_SIZE, LARGEST_BATCH_SIZE
from tutormax_pipeline.defs.column_schema import column_schema
from tutormax_pipeline.defs.drain_metadata import drain_metadata, drain_summary, loss_warning
from tutormax_pipeline.defs.lanes import OWNERS, consumer_name
from tutormax_pipeline.defs.resources import QueueResource, StoreResource
from tutormax_pipeline.drain import DrainLimits, drain
from tutormax_pipeline.store import StoreError
from tutormax_pipeline.store.stored_messages import messages_stored
from tutormax_pipeline.store.tables import record_table


class DrainConfig(dg.Config):
    """When a drain ends. As it stands: at once when the queue is empty."""

    batch_size: int = Field(
        default=BATCH_SIZE,
        ge=1,
        le=LARGEST_BATCH_SIZE,
        description=f"Most messages stored in one transaction, 1 to {LARGEST_BATCH_SIZE}.",
    )
    max_messages: int | None = Field(
        default=None, ge=1, description="End after this many messages; empty: no limit."
    )
    max_seconds: float | None = Field(
        default=None, gt=0, description="End after this many seconds; empty: no limit."
    )
    linger_seconds: float = Field(
        default=0,
        ge=0,
        description="Once the queue is empty, wait this many seconds for another message: while a run "
        "lingers, a new message is stored within milliseconds.",
    )

    outage_seconds: float = Field(
        default=60,
        ge=0,
        description="When Redis or the database is away, wait this many seconds for it to come back.",
    )

    def limits(self) -> DrainLimits:
        """The same, for the drain."""
        return DrainLimits(
            batch_size=self.batch_size,
            max_messages=self.max_messages,
            max_seconds=self.max_seconds,
            linger_seconds=self.linger_seconds,
            outage_seconds=self.outage_seconds,
        )


def queue_key(channel: Channel) -> dg.AssetKey:
    """Key of the external asset that stands for a channel's stream."""
    return dg.AssetKey(["queue", channel.name])


def _queue_spec(channel: Channel) -> dg.AssetSpec:
    return dg.AssetSpec(
        queue_key(channel),
        group_name="queue",
        kinds={"redis"},
        owners=OWNERS,
        tags={"queue": channel.name},
        description=f"{channel.purpose}\n\nA Redis stream that TutorMax's services publish to; "
        f"`{channel.name}_queue_sensor` watches it, and draining it fills `{channel.name}`.",
    )


def _drain_asset(channel: Channel) -> dg.AssetsDefinition:
    @dg.asset(
        name=channel.name,
        group_name="tutoring",
        deps=[queue_key(channel)],
        kinds={"table"},
        owners=OWNERS,
        tags={"queue": channel.name},
        code_version="1",
        description=f"{channel.purpose}\n\nOne row for each `{channel.id_field}`, made from its newest "
        "message. **Materialize** drains the queue now: every waiting message becomes a row, a duplicate "
        "or a dead letter, and the ledger says which.",
        metadata={
            "dagster/column_schema": column_schema(record_table(channel)),
            "dagster/table_name": channel.name,
        },
    )
    def drain_channel(
        context: dg.AssetExecutionContext, config: DrainConfig, queue: QueueResource, store: StoreResource
    ) -> dg.MaterializeResult[Any]:
        run_id = context.run.run_id
        try:
            with queue.connect() as client, store.open() as tables, stop_on_signals() as stop:
                consumer = MessageConsumer(client, consumer_name(run_id))
                report = drain(consumer, tables, channel, run_id=run_id, limits=config.limits(), stop=stop)
                rows, version = tables.row_count(channel), messages_stored(tables, channel)
        except (QueueError, StoreError) as error:
            raise dg.Failure(description=str(error)) from error
        context.log.info(drain_summary(report))
        if report.lost:
            context.log.error(loss_warning(report))
        if report.stopped:
            raise dg.DagsterExecutionInterruptedError(drain_summary(report))
        # The same as before where nothing was stored, so that nothing is calculated from it again.
        return dg.MaterializeResult(
            metadata=drain_metadata(report, rows), data_version=dg.DataVersion(str(version))
        )

    return drain_channel


queue_assets = [_queue_spec(channel) for channel in QueueChannels.all()]
drain_assets = [_drain_asset(channel) for channel in QueueChannels.all()]
