"""The job `maintain_dagster` and its schedule: old runs and events of Dagster itself go, once a day."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pydantic import Field

from tutormax_pipeline.dagster_retention.prune import PruneReport, prune_dagster
from tutormax_pipeline.dagster_retention.runs import NEWEST_KEPT, Retention
from tutormax_pipeline.defs.lanes import run_tags
from tutormax_pipeline.settings import PipelineSettings


class MaintainDagsterConfig(dg.Config):
    """What one run leaves."""

    newest_kept: int = Field(
        default=NEWEST_KEPT,
        ge=1,
        description="Runs of each job, and observations of each queue, that stay at any age; a plot shows as "
        "many points.",
    )
    most_runs: int = Field(
        default=5_000,
        ge=1,
        description="Runs that are removed at most, oldest first; what is left over is for the next night.",
    )


@dg.op(
    name="prune",
    description="Removes runs that succeeded and are older than TUTORMAX_DAGSTER_RETENTION_DAYS, those that "
    "did not and are older than TUTORMAX_DAGSTER_FAILED_RETENTION_DAYS, each with its events and logs, and "
    "old observations and results of checks. The newest runs of each job stay, and whatever the latest state "
    "of an asset or a check is of; a run in flight is never touched.",
)
def prune_op(context: dg.OpExecutionContext, config: MaintainDagsterConfig) -> None:
    """Prune the instance that this run is of."""
    settings = PipelineSettings.load()
    retention = Retention(
        settings.dagster_retention_days, settings.dagster_failed_retention_days, config.newest_kept
    )
    report = prune_dagster(context.instance, retention, datetime.now(UTC), config.most_runs)
    context.add_output_metadata(_metadata(report, config))


def _metadata(report: PruneReport, config: MaintainDagsterConfig) -> Mapping[str, Any]:
    removed = sum(report.runs.values())
    by_job = [dg.TableRecord({"job": job, "runs_removed": count}) for job, count in report.runs.items()]
    shown = {
        "runs_removed": removed,
        "more_runs_to_remove": removed == config.most_runs,
        "observations_removed": report.events.observations,
        "check_results_removed": report.events.check_results,
        "bytes_freed": max(0, report.bytes_before - report.bytes_after),
        "storage_bytes": report.bytes_after,
        "files_compacted": ", ".join(report.compacted) or "none",
    }
    return {**shown, "by_job": dg.MetadataValue.table(by_job)} if by_job else shown


@dg.job(
    description="Keep Dagster's own storage small: remove its old runs and events. Touches neither queues "
    "nor tables; may run beside drains.",
    # Run again should it fail or its process die: it is safe to repeat.
    tags={**run_tags("maintain_dagster"), "dagster/max_retries": "2"},
    executor_def=dg.in_process_executor,
)
def maintain_dagster() -> None:
    """One op: a run is removed within milliseconds."""
    prune_op()


dagster_maintenance_schedule = dg.ScheduleDefinition(
    name="dagster_maintenance_schedule",
    job=maintain_dagster,
    cron_schedule="47 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Removes Dagster's own old runs and events every night.",
)
