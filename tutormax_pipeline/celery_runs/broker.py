"""How the broker of the runs is reached: by who launches, who executes, and who asks for their health."""

from __future__ import annotations

import ssl
from typing import Any

from queue_core import RedisSettings
from queue_core.errors import ConfigurationError
from tutormax_pipeline.settings import PipelineSettings

_SOCKET_SECONDS = 10


def broker_configuration(settings: PipelineSettings) -> dict[str, Any]:
    """What Celery is configured with to reach its broker; holds the password. Loads nothing of Dagster.

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
        "broker_transport_options": connection,
        "result_backend_transport_options": connection,
    }


def _tls(redis: RedisSettings) -> dict[str, Any]:
    # Without it Celery refuses a rediss:// address of its results. Files, and what is checked, are as at the
    # queue's Redis.
    files = {
        "ssl_ca_certs": redis.ssl_ca_certs,
        "ssl_certfile": redis.ssl_certfile,
        "ssl_keyfile": redis.ssl_keyfile,
    }
    named = {name: str(file) for name, file in files.items() if file}
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": redis.ssl_check_hostname, **named}
