"""The jobs: one that drains each channel, and one that drains all."""

import dagster as dg

from queue_core import QueueChannels
from tutormax_pipeline.defs.lanes import ALL_LANES, lane_tags

drain_jobs = {
    channel: dg.define_asset_job(
        f"drain_{channel.name}",
        selection=dg.AssetSelection.assets(channel.name),
        description=f"Drain the `{channel.name}` queue into its table.",
        tags=lane_tags(channel.name),
        executor_def=dg.in_process_executor,
    )
    for channel in QueueChannels.all()
}

drain_all = dg.define_asset_job(
    "drain_all",
    selection=dg.AssetSelection.assets(*(channel.name for channel in QueueChannels.all())),
    description="Drain every queue into its table, one after the other.",
    tags=lane_tags(ALL_LANES),
    executor_def=dg.in_process_executor,
)
