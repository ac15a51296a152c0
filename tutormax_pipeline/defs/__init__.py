"""The Dagster definitions, by topic; ``tutormax_pipeline.definitions`` puts them together."""
