"""The Dagster code location ``tutormax``."""

import dagster as dg

from tutormax_pipeline.defs.assets import drain_assets, queue_assets
from tutormax_pipeline.defs.checks import book_checks
from tutormax_pipeline.defs.dagster_maintenance import dagster_maintenance_schedule, maintain_dagster
from tutormax_pipeline.defs.dead_letters import (
    dead_letters_asset,
    review_dead_letters,
    review_dead_letters_schedule,
)
from tutormax_pipeline.defs.documented import documented
from tutormax_pipeline.defs.ended_runs import drain_canceled_sensor, drain_failure_sensor
from tutormax_pipeline.defs.jobs import drain_all, drain_jobs
from tutormax_pipeline.defs.letter_jobs import discard_dead_letters, redrive_dead_letters
from tutormax_pipeline.defs.letter_sensor import dead_letter_sensor
from tutormax_pipeline.defs.maintenance import maintain_queues, maintenance_schedule
from tutormax_pipeline.defs.reclaim import reclaim_pending
from tutormax_pipeline.defs.resources import QueueResource, StoreResource
from tutormax_pipeline.defs.schedules import drain_all_schedule
from tutormax_pipeline.defs.sensors import queue_sensors
from tutormax_pipeline.defs.stale_pending import stale_pending_sensor
from tutormax_pipeline.defs.table_checks import table_checks
from tutormax_pipeline.defs.trace import trace_message
from tutormax_pipeline.defs.tutor_performance import tutor_performance, tutor_performance_sensor

defs = dg.Definitions(
    assets=documented([*queue_assets, *drain_assets, dead_letters_asset, tutor_performance]),
    asset_checks=[*book_checks, *table_checks],
    jobs=[
        *drain_jobs.values(),
        drain_all,
        reclaim_pending,
        maintain_queues,
        maintain_dagster,
        review_dead_letters,
        redrive_dead_letters,
        discard_dead_letters,
        trace_message,
    ],
    sensors=[
        *queue_sensors,
        drain_failure_sensor,
        drain_canceled_sensor,
        stale_pending_sensor,
        dead_letter_sensor,
        tutor_performance_sensor,
    ],
    schedules=[
        drain_all_schedule,
        maintenance_schedule,
        dagster_maintenance_schedule,
        review_dead_letters_schedule,
    ],
    resources={"queue": QueueResource(), "store": StoreResource()},
    executor=dg.in_process_executor,
)
