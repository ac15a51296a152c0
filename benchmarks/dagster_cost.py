"""What a run, an observation and a tick cost: measured on a Dagster instance of its own."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import orjson
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickData, TickStatus

from benchmarks.place import Place
from queue_core import MessageConsumer, MessagePublisher, QueueChannels
from queue_core.monitor import snapshot
from tutormax_pipeline.defs.observations import observation_of
from tutormax_pipeline.defs.resources import QueueResource
from tutormax_pipeline.defs.sensors import queue_sensors
from tutormax_pipeline.home import prepare_dagster_home
from tutormax_pipeline.observation import Observation, Remembered
from tutormax_pipeline.settings import PipelineSettings

_CHANNEL = QueueChannels.FEEDBACK
#: Messages of each measured run: as many as a run of the simulated day has.
_MESSAGES_PER_RUN = 17
_EVENTS = 300


@dataclass(frozen=True, slots=True)
class Cost:
    """What each thing costs.

    Attributes:
        run_cpu_seconds: processor time of a run's process, from its start to its end, without lingering.
        run_bytes: growth of Dagster's storage by a run.
        lingering_cpu_percent: of one core, while a run waits for messages.
        lingering_memory_mb: resident memory of a run's process.
        observation_bytes: growth by an observation.
        tick_bytes: growth by a skipped tick; those are purged after a day.
        tick_cpu_ms: processor time of a tick in the code server.
    """

    run_cpu_seconds: float
    run_bytes: float
    lingering_cpu_percent: float
    lingering_memory_mb: float
    observation_bytes: float
    tick_bytes: float
    tick_cpu_ms: float


def measure(place: Place, *, runs: int, linger_seconds: float) -> Cost:
    """Run ``runs`` drains, and one more that lingers, each in a process of its own."""
    settings = PipelineSettings.load(_env_file=None, home=place.folder / "home")
    home = prepare_dagster_home(settings)
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "TUTORMAX_HOME": str(settings.home),
        "REDIS_URL": place.url,
        "REDIS_KEY_PREFIX": "day",
    }
    with place.client("day") as client:
        publisher, numbers = MessagePublisher(client), iter(range(1_000_000))

        def drain(linger: float = 0) -> float:
            batch = [
                {"feedback_id": f"F{next(numbers)}", "tutor_id": "T1", "rating": 4.0}
                for _ in range(_MESSAGES_PER_RUN)
            ]
            publisher.publish_batch(_CHANNEL, batch)
            return _cpu_of_run(home, environment, linger)

        drain()  # the tables, and Dagster's own
        before, cpu = _size(home), [drain() for _ in range(runs)]
        run_bytes = (_size(home) - before) / runs
        usual = sum(cpu) / runs
        lingering = max(0.0, drain(linger_seconds) - usual)
        MessageConsumer(client).create_consumer_group(_CHANNEL)
        seen = snapshot(client, _CHANNEL)
        found = Observation(Remembered.of(seen, time.time()), 1.0, 1.0)
        event = observation_of(client, _CHANNEL, seen, found)
    return Cost(
        run_cpu_seconds=usual,
        run_bytes=run_bytes,
        lingering_cpu_percent=100 * lingering / linger_seconds,
        lingering_memory_mb=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        observation_bytes=_growth(home, lambda instance: instance.report_runless_asset_event(event)),
        tick_bytes=_growth(home, _skipped_tick),
        tick_cpu_ms=_tick_cpu_ms(home, place),
    )


def _cpu_of_run(home: Path, environment: dict[str, str], linger_seconds: float) -> float:
    config = home / "run.json"
    ops = {_CHANNEL.name: {"config": {"linger_seconds": linger_seconds}}}
    config.write_bytes(orjson.dumps({"ops": ops}))
    command = [sys.executable, "-m", "dagster", "job", "execute", "-m", "tutormax_pipeline.definitions"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [*command, "-j", f"drain_{_CHANNEL}", "-c", str(config)],
        env=environment,
        check=True,
        capture_output=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _size(home: Path) -> int:
    return sum(path.stat().st_size for path in home.rglob("*") if path.is_file())


def _growth(home: Path, happen: Callable[[dg.DagsterInstance], None]) -> float:
    """Bytes by which the storage grows each time; closed before each look, so that nothing is in a log."""
    sizes = []
    for times in (_EVENTS, _EVENTS):
        with dg.DagsterInstance.from_config(str(home)) as instance:
            for _ in range(times):
                happen(instance)
        sizes.append(_size(home))
    return (sizes[1] - sizes[0]) / _EVENTS


def _skipped_tick(instance: dg.DagsterInstance) -> None:
    instance.create_tick(
        TickData(
            instigator_origin_id="o" * 40,
            instigator_name="feedback_queue_sensor",
            instigator_type=InstigatorType.SENSOR,
            status=TickStatus.SKIPPED,
            timestamp=time.time(),
            skip_reason="Nothing waits; 0 pending, 0 dead letters.",
            cursor="c" * 150,
            selector_id="s" * 40,
        )
    )


def _tick_cpu_ms(home: Path, place: Place) -> float:
    (sensor,) = [one for one in queue_sensors if one.name == f"{_CHANNEL}_queue_sensor"]
    queue, ticks = QueueResource(url=place.url, key_prefix="day"), 50
    cursor: str | None = None
    with dg.DagsterInstance.from_config(str(home)) as instance:
        started = time.process_time()
        for _ in range(ticks):
            context = dg.build_sensor_context(instance=instance, resources={"queue": queue}, cursor=cursor)
            result = sensor(context)
            assert isinstance(result, dg.SensorResult)
            cursor = result.cursor
        return (time.process_time() - started) * 1000 / ticks
