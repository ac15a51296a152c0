"""Does the Celery worker of this container answer, through the broker? The exit code says so.

``celery inspect ping`` asks the same, and loads all of Dagster to do it.
"""

import socket
import sys

from celery import Celery
from kombu.exceptions import OperationalError

from queue_core.errors import ConfigurationError
from tutormax_pipeline.celery_runs.broker import broker_configuration
from tutormax_pipeline.settings import PipelineSettings

try:
    configuration = broker_configuration(PipelineSettings.load())
except ConfigurationError as error:
    sys.exit(str(error))
app = Celery(broker=configuration["broker_url"])
app.conf.update(configuration)
name = f"celery@{socket.gethostname()}"
try:
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
    answers = app.control.ping(destination=[name], timeout=5)
except (OperationalError, OSError) as error:
    sys.exit(f"The broker does not answer: {type(error).__name__}")
if not answers:
    sys.exit(f"{name} does not answer")
