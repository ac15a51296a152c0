"""The asset `tutor_performance`, what keeps it up to date, and what its materialization shows."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import dagster as dg

from queue_core import QueueChannels
from tutormax_pipeline.defs.column_schema import column_schema
from tutormax_pipeline.defs.histogram import as_markdown, by_doubling, by_steps
from tutormax_pipeline.defs.lanes import MAX_RUNTIME_SECONDS, OWNERS
from tutormax_pipeline.defs.resources import StoreResource
from tutormax_pipeline.store import Store, StoreError
from tutormax_pipeline.store.performance import (
    PRIOR_RATINGS,
    PerformanceTotals,
    performance_totals,
    refresh_performance,
    values,
)
from tutormax_pipeline.store.tables import tutor_performance as table

#: Drains end every minute or so at a busy time; a refresh, a run of some seconds, is worth it this often.
REFRESH_SLOTS = "*/10 * * * *"
#: The daemon looks at conditions at most this often.
_LOOK_SECONDS = 30

_missing = dg.AutomationCondition.missing()
_requested = dg.AutomationCondition.newly_requested()
_changed = (
    dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed())
    | dg.AutomationCondition.code_version_changed()
    # What was drained while nobody looked.
    | dg.AutomationCondition.initial_evaluation()
).with_label("a drain stored something, or the calculation changed")
# Counted from the request of a refresh and not from its end: what is stored while it runs is not in it.
# Neither is what came just after the request, which the condition sees at the same look as the request.
_outdated = _changed.since(_requested & ~_changed) | dg.AutomationCondition.execution_failed()
_new_slot = dg.AutomationCondition.cron_tick_passed(REFRESH_SLOTS).since(_requested)
_first = (
    _missing & ~dg.AutomationCondition.any_deps_missing() & ~dg.AutomationCondition.any_deps_in_progress()
)
_REFRESH = (
    _outdated.with_label("not refreshed since a drain stored something, or the last refresh failed")
    & (_new_slot | _first).with_label("a new ten minutes began since the last refresh, or it is the first")
    & (~dg.AutomationCondition.all_deps_match(_missing)).with_label("something was drained")
    & (~dg.AutomationCondition.in_progress()).with_label("no refresh runs")
)


@dg.asset(
    name=table.name,
    group_name="tutoring",
    deps=[channel.name for channel in QueueChannels.all()],
    kinds={"table"},
    owners=OWNERS,
    code_version="1",
    tags={"refreshed": "automatically"},
    automation_condition=_REFRESH,
    description="How each tutor does: one row for each `tutor_id` that a profile, a session or a feedback "
    "names, with sessions held, hours, no-show and cancellation rate, ratings, sentiment and last "
    "session.\n\n"
    "- A session counts as **held** when it is `completed`, or has an end and no status.\n"
    "- `rating_shrunken` is the one to **rank by**: the tutor's ratings together with "
    f"{PRIOR_RATINGS} ratings at the mean of all, so that one 5-star rating does not win.\n"
    "- A figure is empty, never 0, where nothing is known.\n\n"
    "Refreshed by itself when drains have stored something, at most every ten minutes; **Materialize** "
    "does it now. All rows are replaced in one transaction: a reader sees the old ones or the new ones.",
    metadata={
        "dagster/column_schema": column_schema(table),
        "dagster/table_name": table.name,
        "rank_by": "SELECT * FROM tutor_performance WHERE rating_count > 0 ORDER BY rating_shrunken DESC",
    },
)
def tutor_performance(context: dg.AssetExecutionContext, store: StoreResource) -> dg.MaterializeResult[Any]:
    """Calculate the table anew."""
    try:
        with store.open() as tables:
            replaced = refresh_performance(tables)
            totals = performance_totals(tables)
            chart = _chart(tables)
    except StoreError as error:
        raise dg.Failure(description=str(error)) from error
    done = "Calculated anew" if replaced else "Another run, which looked later, was faster; its rows stay"
    context.log.info("%s: %d tutors, %d of them rated.", done, totals.tutors, totals.rated_tutors)
    return dg.MaterializeResult(metadata={**_figures(totals), "distribution": dg.MetadataValue.md(chart)})


def _figures(totals: PerformanceTotals) -> Mapping[str, int | float]:
    figures = {name: value for name, value in asdict(totals).items() if value is not None}
    return {"dagster/row_count": figures.pop("tutors")} | {
        name: round(value, 4) for name, value in figures.items()
    }


def _chart(tables: Store) -> str:
    return as_markdown(
        [
            by_steps(
                "Tutors by rating (shrunken mean)",
                values(tables, "rating_shrunken"),
                low=1,
                high=5,
                step=0.25,
            ),
            by_doubling("Tutors by hours held", values(tables, "hours")),
            by_doubling("Tutors by sessions held", values(tables, "sessions_held")),
        ]
    )


tutor_performance_sensor = dg.AutomationConditionSensorDefinition(
    "tutor_performance_sensor",
    target=dg.AssetSelection.assets(table.name),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=_LOOK_SECONDS,
    run_tags={"dagster/max_runtime": str(MAX_RUNTIME_SECONDS)},
    description="Refreshes `tutor_performance` when drains have stored something: at most every ten "
    "minutes, and one refresh at a time. Drains that stored nothing start none. Its evaluations are under "
    "the asset's **Automation** tab.",
)
