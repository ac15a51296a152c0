"""The command ``tutormax``: one module for each of its commands."""

from tutormax_pipeline.cli.main import main

__all__ = ["main"]
