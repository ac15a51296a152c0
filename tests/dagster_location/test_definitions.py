"""Every channel of the registry has all its definitions, each of them finished."""

from __future__ import annotations

import dagster as dg
import pytest

from queue_core import Channel, QueueChannels
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.defs.sensors import queue_sensors
from tutormax_pipeline.store.tables import record_table


@pytest.mark.parametrize("channel", QueueChannels.all(), ids=str)
def test_a_channel_has_its_assets_job_and_sensor(channel: Channel) -> None:
    graph = defs.resolve_asset_graph()
    table, queue = graph.get(dg.AssetKey(channel.name)), graph.get(dg.AssetKey(["queue", channel.name]))
    assert (table.group_name, queue.group_name) == ("tutoring", "queue")
    assert table.parent_keys == {queue.key}
    assert (table.is_materializable, queue.is_materializable) == (True, False)
    schema = table.metadata["dagster/column_schema"]
    assert [column.name for column in schema.columns] == [one.name for one in record_table(channel).columns]
    assert all(column.description for column in schema.columns)
    assert table.metadata["dagster/table_name"] == channel.name
    for node in (table, queue):
        assert channel.purpose in (node.description or "")
        assert node.owners == ["team:data-engineering"]
        assert node.kinds
    job = defs.resolve_job_def(f"drain_{channel.name}")
    assert job.tags["lane"] == channel.name
    assert int(job.tags["dagster/max_runtime"]) > 0
    sensors = {sensor.name: sensor.default_status for sensor in queue_sensors}
    assert sensors[f"{channel.name}_queue_sensor"] is dg.DefaultSensorStatus.RUNNING


def test_one_job_and_schedule_drain_all() -> None:
    names = {node.name for node in defs.resolve_job_def("drain_all").nodes}
    assert names == {channel.name for channel in QueueChannels.all()}
    assert defs.resolve_schedule_def("drain_all_schedule").job_name == "drain_all"


def test_the_launchpad_explains_each_limit() -> None:
    job = defs.resolve_job_def("drain_tutors")
    fields = job.nodes[0].definition.config_schema.config_type.fields
    assert list(fields) == ["batch_size", "max_messages", "max_seconds", "linger_seconds"]
    assert all(field.description for field in fields.values())
