"""Every channel of the registry has all its definitions, each of them finished."""

from __future__ import annotations

import dagster as dg
import pytest

from queue_core import Channel, QueueChannels
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.defs.sensors import queue_sensors
from tutormax_pipeline.store.tables import record_table

#: group, kinds, and what it is made from, of each asset: what an analyst sees in the graph.
ASSETS = {
    "dead_letters": ("queue", {"redis", "table"}, ["queue/feedback", "queue/sessions", "queue/tutors"]),
    "feedback": ("tutoring", {"table"}, ["queue/feedback"]),
    "queue/feedback": ("queue", {"redis"}, []),
    "queue/sessions": ("queue", {"redis"}, []),
    "queue/tutors": ("queue", {"redis"}, []),
    "sessions": ("tutoring", {"table"}, ["queue/sessions"]),
    "tutor_performance": ("tutoring", {"table"}, ["feedback", "sessions", "tutors"]),
    "tutors": ("tutoring", {"table"}, ["queue/tutors"]),
}


def test_the_code_location_loads_and_holds_these_assets() -> None:
    dg.Definitions.validate_loadable(defs)
    graph = defs.resolve_asset_graph()
    found = {
        key.to_user_string(): (
            graph.get(key).group_name,
            set(graph.get(key).kinds),
            sorted(parent.to_user_string() for parent in graph.get(key).parent_keys),
        )
        for key in graph.get_all_asset_keys()
    }
    assert {key: found[key] for key in ASSETS} == ASSETS


def test_everything_says_what_it_is_for_and_who_answers_for_it() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        assert graph.get(key).description, key
        assert graph.get(key).owners == ["team:data-engineering"], key
    repository = defs.get_repository_def()
    for one in [*repository.sensor_defs, *repository.schedule_defs]:
        assert one.description, one.name
    for job in repository.get_all_jobs():
        assert job.description or job.name.startswith("__"), job.name


@pytest.mark.parametrize("channel", QueueChannels.all(), ids=str)
def test_a_channel_has_its_assets_job_and_sensor(channel: Channel) -> None:
    graph = defs.resolve_asset_graph()
    table, queue = graph.get(dg.AssetKey(channel.name)), graph.get(dg.AssetKey(["queue", channel.name]))
    assert (table.group_name, queue.group_name) == ("tutoring", "queue")
    assert table.parent_keys == {queue.key}
    assert (table.is_materializable, queue.is_materializable) == (True, False)
    assert all(channel.purpose in (node.description or "") for node in (table, queue))
    job = defs.resolve_job_def(f"drain_{channel.name}")
    assert {node.name for node in job.nodes} == {
        channel.name,
        f"{channel.name}_books_balance",
        f"{channel.name}_checks",
    }
    assert job.tags["lane"] == channel.name
    assert int(job.tags["dagster/max_runtime"]) > 0
    assert job.executor_def is dg.in_process_executor
    (sensor,) = [one for one in queue_sensors if one.name == f"{channel.name}_queue_sensor"]
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert [target.job_name for target in sensor.targets] == [job.name]
    assert 1 <= (sensor.minimum_interval_seconds or 0) <= 4


@pytest.mark.parametrize("channel", QueueChannels.all(), ids=str)
def test_an_asset_describes_every_column_of_its_table(channel: Channel) -> None:
    table = defs.resolve_asset_graph().get(dg.AssetKey(channel.name))
    schema = table.metadata["dagster/column_schema"]
    assert [column.name for column in schema.columns] == [one.name for one in record_table(channel).columns]
    assert all(column.description and column.type for column in schema.columns)
    assert [column.name for column in schema.columns if column.constraints.unique] == [channel.id_field]
    assert table.metadata["dagster/table_name"] == channel.name


def test_one_job_and_schedule_drain_all() -> None:
    job = defs.resolve_job_def("drain_all")
    names = {channel.name for channel in QueueChannels.all()}
    assert {node.name for node in job.nodes} == {
        f"{name}{step}" for name in names for step in ("", "_books_balance", "_checks")
    }
    assert job.tags["lane"] == "all"
    assert int(job.tags["dagster/max_runtime"]) > 0
    schedule = defs.resolve_schedule_def("drain_all_schedule")
    assert schedule.job_name == "drain_all"
    assert schedule.cron_schedule == "0 * * * *"
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED


def test_the_launchpad_explains_each_limit() -> None:
    job = defs.resolve_job_def("drain_tutors")
    (node,) = [node for node in job.nodes if node.name == "tutors"]
    fields = node.definition.config_schema.config_type.fields
    assert list(fields) == ["batch_size", "max_messages", "max_seconds", "linger_seconds", "outage_seconds"]
    assert all(field.description for field in fields.values())
    assert not any(field.is_required for field in fields.values())
