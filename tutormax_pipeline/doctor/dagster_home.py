"""The Dagster instance, where there is one: its settings, its daemon, its sensors, its runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tutormax_pipeline.dagster_instance import InstanceError, open_instance
from tutormax_pipeline.findings import Finding, Severity
from tutormax_pipeline.settings import PipelineSettings

if TYPE_CHECKING:
    import dagster as dg

#: The daemon reports every 30 s; after this it is taken to be dead.
_SILENT_SECONDS = 120
#: Longer than any run of ours may take.
_OLD_RUN_SECONDS = 7_200 + 600
#: Skipped ticks of four sensors, every four seconds, are some 80,000 rows a day.
_MOST_DAYS_OF_SKIPPED_TICKS = 7

_WARNING = Severity.WARNING


def findings(settings: PipelineSettings, now: datetime) -> Iterator[Finding]:
    """Everything that is wrong with the instance in DAGSTER_HOME, or else in TUTORMAX_HOME.

    Args:
        settings: say where the home is.
        now: the present, UTC.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or settings.dagster_home)
    if not (home / "dagster.yaml").exists():
        return
    try:
        instance = open_instance(home)
    except InstanceError as error:
        yield Finding(error.check, Severity.ERROR, error.summary, error.remedy)
        return
    with instance:
        yield from _settings(instance, home)
        yield from _daemon(instance, now)
        yield from _sensors(instance)
        yield from _old_runs(instance, now)


def _settings(instance: dg.DagsterInstance, home: Path) -> Iterator[Finding]:
    from dagster._core.definitions.run_request import InstigatorType  # noqa: PLC0415
    from dagster._core.run_coordinator import QueuedRunCoordinator  # noqa: PLC0415
    from dagster._core.scheduler.instigation import TickStatus  # noqa: PLC0415

    file = home / "dagster.yaml"
    if not instance.run_monitoring_enabled:
        yield Finding(
            "run_monitoring",
            _WARNING,
            "Dagster does not watch its runs: one whose process dies blocks its channel for ever.",
            f"Set 'run_monitoring: {{enabled: true}}' in {file}.",
        )
    if not isinstance(instance.run_coordinator, QueuedRunCoordinator):
        yield Finding(
            "run_queue",
            _WARNING,
            "Dagster starts every run at once: its limits on runs at the same time do not hold.",
            f"Set QueuedRunCoordinator as run_coordinator in {file}.",
        )
    days = instance.get_tick_retention_settings(InstigatorType.SENSOR).get(TickStatus.SKIPPED, -1)
    if days < 0 or days > _MOST_DAYS_OF_SKIPPED_TICKS:
        yield Finding(
            "retention",
            _WARNING,
            f"Dagster keeps sensors' skipped ticks {'for ever' if days < 0 else f'for {days:,} days'}: some "
            "80,000 a day.",
            f"Set 'retention: {{sensor: {{purge_after_days: {{skipped: 1}}}}}}' in {file}.",
        )


def _daemon(instance: dg.DagsterInstance, now: datetime) -> Iterator[Finding]:
    beats = instance.get_daemon_heartbeats()
    newest = max((beat.timestamp for beat in beats.values()), default=None)
    if newest is None or now.timestamp() - newest > _SILENT_SECONDS:
        since = "was never heard of"
        if newest is not None:
            since = f"was last heard of {now.timestamp() - newest:,.0f} s ago"
        yield Finding(
            "daemon",
            _WARNING,
            f"Dagster's daemon {since}: no sensor looks, nothing drains by itself.",
            "Start 'tutormax up', or 'dagster-daemon run'.",
        )
        return
    failing = sorted(name for name, beat in beats.items() if beat.errors)
    if failing:
        yield Finding(
            "daemon_errors",
            _WARNING,
            f"Parts of Dagster's daemon report errors: {', '.join(failing)}.",
            "See Deployment, Daemons in the UI, and its log.",
        )


def _sensors(instance: dg.DagsterInstance) -> Iterator[Finding]:
    from dagster._core.scheduler.instigation import InstigatorStatus, TickStatus  # noqa: PLC0415

    for state in instance.all_instigator_state():
        name = state.instigator_name
        if name.endswith("_queue_sensor") and state.status is InstigatorStatus.STOPPED:
            yield Finding(
                "sensor_off",
                _WARNING,
                f"Sensor {name} is turned off: its queue is drained only by schedule or by hand.",
                "Turn it on under Automation in the UI, unless drain_all_schedule is on instead.",
            )
            continue
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
        if state.status is not InstigatorStatus.STOPPED and ticks and ticks[0].status is TickStatus.FAILURE:
            yield Finding(
                "tick_failed",
                _WARNING,
                f"The last tick of {name} failed.",
                f"See {name} under Automation in the UI: the tick shows its error.",
            )


def _old_runs(instance: dg.DagsterInstance, now: datetime) -> Iterator[Finding]:
    import dagster as dg  # noqa: PLC0415

    from tutormax_pipeline.local_runs import IN_FLIGHT, OWN_PROCESS_TAG  # noqa: PLC0415

    old = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus(status) for status in IN_FLIGHT],
        created_before=now - timedelta(seconds=_OLD_RUN_SECONDS),
    )
    runs = [one for one in instance.get_runs(old, limit=100) if OWN_PROCESS_TAG not in one.tags]
    if runs:
        named = ", ".join(run.run_id for run in runs[:3]) + (" ..." if len(runs) > 3 else "")
        yield Finding(
            "old_run",
            _WARNING,
            f"Runs older than {_OLD_RUN_SECONDS / 3600:.1f} h have not ended: {named}. Their channels are "
            "not drained by sensors.",
            "Terminate them in the UI (Runs, In progress); their messages are taken up again.",
        )
