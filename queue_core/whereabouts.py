"""Where Redis is, and which variables to look at when it is not found there: for messages to people."""

from __future__ import annotations

from urllib.parse import urlsplit

from queue_core.config import RedisSettings
from queue_core.tls import remedy


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
    if settings.sentinels:
        check = "Check that it and its Sentinels run, and REDIS_SENTINELS."
    else:
        more = ", REDIS_CLUSTER_NODES" if settings.cluster else ""
        check = f"Check that it runs, and REDIS_HOST, REDIS_PORT or REDIS_URL{more}."
    if "closed by server" in words or "Connection reset" in words:
        check += " If it speaks TLS there, set REDIS_SSL=true."
    return check
