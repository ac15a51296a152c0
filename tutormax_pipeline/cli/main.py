"""Entry point: the commands, and errors as one line instead of a traceback."""

from __future__ import annotations

import sys
from typing import Any

import click

from queue_core import QueueError
from tutormax_pipeline.cli.dlq import dlq
from tutormax_pipeline.cli.doctor import doctor
from tutormax_pipeline.cli.drain import drain
from tutormax_pipeline.cli.metrics import metrics
from tutormax_pipeline.cli.monitor import monitor
from tutormax_pipeline.cli.publish import publish
from tutormax_pipeline.cli.status import status
from tutormax_pipeline.cli.store import store
from tutormax_pipeline.cli.trace import trace_command
from tutormax_pipeline.cli.up import up
from tutormax_pipeline.store import StoreError


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what went wrong is said in one line, and the exit code is 1."""
        try:
            return super().invoke(ctx)
        except (QueueError, StoreError) as error:
            words = str(error)
        except OSError as error:
            if error.filename is None:
                raise
            words = f"{error.filename}: {error.strerror}. Check TUTORMAX_HOME, and the rights there."
        click.echo(f"Error: {words}", err=True)
        sys.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tutormax-pipeline")
def main() -> None:
    """From TutorMax's queues into tables people trust."""


for command in (up, publish, drain, status, trace_command, dlq, doctor, store, monitor, metrics):
    main.add_command(command)
