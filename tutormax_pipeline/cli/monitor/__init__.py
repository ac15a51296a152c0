"""``tutormax monitor``: the queues in a terminal, live."""

from tutormax_pipeline.cli.monitor.command import monitor

__all__ = ["monitor"]
