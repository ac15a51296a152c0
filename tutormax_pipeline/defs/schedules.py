"""The schedules."""

import dagster as dg

from tutormax_pipeline.defs.jobs import drain_all

drain_all_schedule = dg.ScheduleDefinition(
    name="drain_all_schedule",
    job=drain_all,
    cron_schedule="0 * * * *",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Drains every queue on the hour. Off, because the sensors drain as messages arrive; turn it "
    "on, and them off, to drain in batches.",
)
