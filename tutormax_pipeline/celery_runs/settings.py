"""The configuration of Celery, the same for the daemon that launches and the workers that execute."""

from __future__ import annotations

import ssl
from typing import Any

from queue_core import RedisSettings
from queue_core.errors import ConfigurationError
from tutormax_pipeline.defs.lanes import MAX_RUNTIME_SECONDS
from tutormax_pipeline.settings import PipelineSettings

#: Redis gives a task that is not acknowledged to another worker after this. A run is over long before:
#: Dagster ends it after ``dagster/max_runtime``. Were it not, the second worker would find it started, and
#: leave it alone.
VISIBILITY_SECONDS = 2 * MAX_RUNTIME_SECONDS
#: States and results of tasks are of use while their run lasts.
_RESULT_SECONDS = 86_400
_SOCKET_SECONDS = 10


def celery_configuration(settings: PipelineSettings) -> dict[str, Any]:
    """What Celery is configured with; holds the broker's password.

    Raises:
        ConfigurationError: no broker is named, or a ``REDIS_...`` variable is wrong.
    """
    if settings.celery_broker_url is None:
        raise ConfigurationError(
            "TUTORMAX_CELERY_BROKER_URL: is not set; give the broker of the runs' workers, such as "
            "redis://host:6379/1"
        )
    address = settings.celery_broker_url.get_secret_value()
    connection = {
        "global_keyprefix": settings.celery_key_prefix,
        "socket_timeout": _SOCKET_SECONDS,
        "socket_connect_timeout": _SOCKET_SECONDS,
        "socket_keepalive": True,
    }
    tls = _tls(RedisSettings.load()) if address.startswith("rediss:") else {}
    return {
        **({"broker_use_ssl": tls, "redis_backend_use_ssl": tls} if tls else {}),
        "broker_url": address,
        "result_backend": address,
        "broker_transport_options": {**connection, "visibility_timeout": VISIBILITY_SECONDS},
        "result_backend_transport_options": connection,
        "result_expires": _RESULT_SECONDS,
        "broker_connection_retry_on_startup": True,
        # A run that waits behind a lingering drain, while another worker is idle, would wait for minutes:
        # acknowledged late, a task that is reserved is one that is executed.
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,
        # A run has a process of its own, forked from one that has everything loaded: what it does to memory
        # and signals ends with it.
        "worker_max_tasks_per_child": 1,
        # A broker that is away for a moment is no reason to end drains that do not need it.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_send_task_events": False,
    }


def _tls(redis: RedisSettings) -> dict[str, Any]:
    # Without it Celery refuses a rediss:// address of its results. The files are those of the queue's Redis.
    files = {
        "ssl_ca_certs": redis.ssl_ca_certs,
        "ssl_certfile": redis.ssl_certfile,
        "ssl_keyfile": redis.ssl_keyfile,
    }
    named = {name: str(file) for name, file in files.items() if file}
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True, **named}
