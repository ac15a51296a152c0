"""Where Redis is, and which variables to look at when it is not found there: for messages to people."""

from __future__ import annotations

from urllib.parse import urlsplit

from queue_core.config import RedisSettings
from queue_core.tls import remedy

#: Words of a connection that the other side ended: a server that does not like what it was shown just does.
_HUNG_UP = ("closed by server", "Connection reset", "EOF occurred", "Broken pipe")


def where(settings: RedisSettings) -> str:
    """Host, port and database, Sentinels or Cluster, without user name and password."""
    if settings.sentinels:
        return f"{settings.sentinel_master} (Sentinels {', '.join(map(str, settings.sentinels))})"
    if settings.url is None:
        address = f"{settings.host}:{settings.port}/{settings.db}"
    else:
        url = urlsplit(settings.url.get_secret_value())
        if url.scheme == "unix":
            return url.path
        address = f"{url.hostname or 'localhost'}:{url.port or 6379}{url.path}"
    return f"{address.partition('/')[0]} (Cluster)" if settings.cluster else address


def what_to_check(settings: RedisSettings, words: str) -> str:
    """What to do when Redis is not reached.

    Args:
        settings: those in force.
        words: how the attempt failed.
    """
    if (what := remedy(words)) is not None:
        return what
    tls = settings.url.get_secret_value().startswith("rediss:") if settings.url else settings.ssl
    if settings.sentinels:
        check = "Check that it and its Sentinels run, and REDIS_SENTINELS."
    else:
        more = ", REDIS_CLUSTER_NODES" if settings.cluster else ""
        check = f"Check that it runs, and REDIS_HOST, REDIS_PORT or REDIS_URL{more}."
    if tls and "Timeout connecting" in words:
        # A server that speaks no TLS goes on waiting for the rest of a command.
        check += " If it speaks no TLS there, set REDIS_SSL=false."
    elif tls and any(part in words for part in _HUNG_UP):
        check += (
            " If it wants a certificate of ours, that of REDIS_SSL_CERTFILE is missing, expired or unknown."
        )
    elif any(part in words for part in _HUNG_UP):
        check += " If it speaks TLS there, set REDIS_SSL=true."
    return check
