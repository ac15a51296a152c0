"""A diagnosis by topic: queue, server, store, Dagster and disk; each finding with its remedy.

    diagnosis = examine(client, store, settings, datetime.now(UTC))

What is away is a finding, and the rest is examined all the same.
"""

from tutormax_pipeline.doctor.examination import Diagnosis, examine

__all__ = ["Diagnosis", "examine"]
