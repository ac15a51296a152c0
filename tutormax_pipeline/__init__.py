"""The pipeline: from the queue, through Dagster, into tables."""
