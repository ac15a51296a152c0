"""Does the Celery worker of this container answer, through the broker? The exit code says so.

``celery inspect ping`` asks the same, and loads all of Dagster to do it.
"""

import socket
import sys

from celery import Celery
from kombu.exceptions import OperationalError

from tutormax_pipeline.settings import PipelineSettings

settings = PipelineSettings.load()
if settings.celery_broker_url is None:
    sys.exit("TUTORMAX_CELERY_BROKER_URL is not set")
app = Celery(broker=settings.celery_broker_url.get_secret_value())
app.conf.broker_transport_options = {
    "global_keyprefix": settings.celery_key_prefix,
    "socket_timeout": 5,
    "socket_connect_timeout": 5,
}
name = f"celery@{socket.gethostname()}"
try:
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
    answers = app.control.ping(destination=[name], timeout=5)
except (OperationalError, OSError) as error:
    sys.exit(f"The broker does not answer: {type(error).__name__}")
if not answers:
    sys.exit(f"{name} does not answer")
