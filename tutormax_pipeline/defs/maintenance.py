"""The job `maintain_queues` and its schedule: trim, sweep, prune, once a day."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg

from queue_core import QueueError
from tutormax_pipeline.defs.lanes import MAINTENANCE_LANE, run_tags
from tutormax_pipeline.defs.resources import QueueResource, StoreResource
from tutormax_pipeline.maintenance import ChannelMaintenance, maintain_all
from tutormax_pipeline.settings import PipelineSettings
from tutormax_pipeline.store import StoreError


@dg.op(
    name="maintain",
    description="Trims processed entries older than REDIS_MESSAGE_TTL_SECONDS (any, while more than "
    "80 % of the memory of Redis is in use), sweeps up after consumers "
    "that are gone, prunes ledger rows older than TUTORMAX_LEDGER_RETENTION_DAYS (their number is kept), "
    "and refreshes the database's statistics.",
)
def maintain_op(context: dg.OpExecutionContext, queue: QueueResource, store: StoreResource) -> None:
    """Maintain every channel."""
    try:
        retention_days = PipelineSettings.load().ledger_retention_days
        with queue.connect() as client, store.open() as tables:
            done = maintain_all(client, tables, retention_days, datetime.now(UTC))
    except (QueueError, StoreError) as error:
        raise dg.Failure(description=str(error)) from error
    context.add_output_metadata({"channels": _table(done), **_totals(done)})


def _totals(done: Sequence[ChannelMaintenance]) -> Mapping[str, int]:
    total: Counter[str] = Counter()
    for one in done:
        total["trimmed"] += one.queue.trimmed
        total["trimmed_for_memory"] += one.queue.trimmed_for_memory
        total["ledger_rows_pruned"] += one.pruned
        total["stray_groups"] += len(one.queue.stray_groups)
        total["consumers_holding_entries"] += len(one.queue.holding)
    return total


def _table(done: Sequence[ChannelMaintenance]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        records=[
            dg.TableRecord(
                {
                    "channel": one.queue.channel,
                    "trimmed": one.queue.trimmed,
                    "trimmed_for_memory": one.queue.trimmed_for_memory,
                    "ledger_rows_pruned": one.pruned,
                    "consumers_removed": len(one.queue.consumers_removed),
                    "retries_forgotten": one.queue.retries_forgotten,
                    "attempts_forgotten": one.queue.attempts_forgotten,
                    "consumers_holding_entries": ", ".join(
                        f"{holder.name} ({holder.pending})" for holder in one.queue.holding
                    ),
                    "stray_groups": ", ".join(group.name for group in one.queue.stray_groups),
                }
            )
            for one in done
        ]
    )


@dg.job(
    description="Keep queues and ledger small: trim what is processed and old, sweep up, prune. Touches "
    "nothing that is not processed; may run beside drains.",
    # Run again should it fail or its process die: it is safe to repeat, and its next turn is a day away.
    tags={**run_tags(MAINTENANCE_LANE), "dagster/max_retries": "2"},
    executor_def=dg.in_process_executor,
)
def maintain_queues() -> None:
    """One op for all channels: each takes milliseconds."""
    maintain_op()


maintenance_schedule = dg.ScheduleDefinition(
    name="maintenance_schedule",
    job=maintain_queues,
    cron_schedule="17 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Maintains queues and ledger every night.",
)
