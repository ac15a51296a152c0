"""Settings of the pipeline (``TUTORMAX_...``), and which Redis it uses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from queue_core import RedisSettings
from queue_core.config import EnvironmentSettings
from queue_core.embedded import running
from tutormax_pipeline.store.address import read_address
from tutormax_pipeline.store.errors import StoreError


def _check_url(url: SecretStr) -> SecretStr:
    try:
        read_address(url.get_secret_value())
    except StoreError as error:
        raise ValueError(str(error).partition(": ")[2]) from None
    return url


def _check_broker(url: SecretStr) -> SecretStr:
    address = url.get_secret_value()
    if not address.startswith(("redis://", "rediss://")):
        raise ValueError("must start with redis:// or rediss://")
    try:
        parts = urlsplit(address)
        readable = parts.port is None or parts.port > 0
    except ValueError:
        readable = False
    if not readable or "@" in parts.path + parts.query + parts.fragment:
        # Not the driver's own words: they quote parts of the password.
        raise ValueError(
            "cannot be read; write redis://user:password@host:6379/0, any of :/?#[]@% in the password as "
            "%3A and so on"
        )
    return url


class PipelineSettings(EnvironmentSettings):
    """Where the pipeline keeps its things, and when it drains."""

    model_config = SettingsConfigDict(env_prefix="TUTORMAX_")

    home: Path = Field(
        Path(".tutormax"), description="folder of the embedded server's data, the store and DAGSTER_HOME"
    )
    store_url: Annotated[SecretStr, AfterValidator(_check_url)] | None = Field(
        None,
        description="address of the tables (SQLite or PostgreSQL); a SQLite file in TUTORMAX_HOME when empty",
    )
    store_timeout_seconds: float = Field(
        30,
        gt=0,
        description="seconds to wait for another writer of the store; on PostgreSQL also for an answer",
    )
    ledger_retention_days: int = Field(
        90,
        ge=0,
        le=36_500,
        description="days that the ledger keeps each entry, and a duplicate is recognised; 0: for ever",
    )
    drain_min_messages: int = Field(
        100, ge=1, description="a drain starts at once when this many messages wait"
    )
    drain_max_wait_seconds: float = Field(
        0, ge=0, description="a drain starts when a message has waited this many seconds"
    )
    drain_linger_seconds: float = Field(
        300, ge=0, description="seconds that a drain started by a sensor waits for another message"
    )
    drain_max_seconds: float = Field(
        3_600,
        gt=0,
        description="seconds after which a drain started by a sensor ends and makes room for the next",
    )

    drain_outage_seconds: float = Field(
        120,
        ge=0,
        description="seconds that such a drain waits for Redis or the database to come back before it fails",
    )

    drain_max_parallel_runs: int = Field(
        1,
        ge=1,
        le=64,
        description="most runs that drain one channel at once, when its backlog is large",
    )
    alert_age_seconds: float = Field(
        900, gt=0, description="age of the oldest unprocessed message above which its check fails"
    )
    alert_dead_letters: int = Field(
        10, ge=0, description="dead letters of a channel above which its check fails"
    )
    dagster_retention_days: int = Field(
        14,
        ge=0,
        le=36_500,
        description="days that Dagster keeps runs that succeeded, and what its sensors saw; 0: for ever",
    )
    dagster_failed_retention_days: int = Field(
        90, ge=0, le=36_500, description="days that Dagster keeps runs that did not succeed; 0: for ever"
    )
    celery_broker_url: Annotated[SecretStr, AfterValidator(_check_broker)] | None = Field(
        None, description="Redis through which runs are given to workers of Celery"
    )
    celery_key_prefix: str = Field(
        "tutormax-celery:", min_length=1, description="first part of every key that Celery makes there"
    )

    @property
    def store_address(self) -> str:
        """Address of the store, with its password: for connecting, never for showing."""
        if self.store_url is not None:
            return self.store_url.get_secret_value()
        return f"sqlite:///{self.home.absolute() / 'tutormax.db'}"

    @property
    def redis_folder(self) -> Path:
        """Data of the embedded server."""
        return self.home.absolute() / "redis"

    @property
    def dagster_home(self) -> Path:
        """DAGSTER_HOME of ``tutormax up``."""
        return self.home.absolute() / "dagster"


def brings_own_redis(settings: RedisSettings) -> bool:
    """Whether a Redis is named (``REDIS_URL``, ``REDIS_HOST``, ...), so that none is to be embedded."""
    named = {"url", "host", "sentinels", "cluster_nodes"} & settings.model_fields_set
    return bool(named) or settings.cluster


def redis_settings(pipeline: PipelineSettings) -> RedisSettings:
    """Settings of the named Redis; else of the embedded server of this home, where it runs.

    Raises:
        ConfigurationError: a ``REDIS_...`` variable is wrong.
    """
    settings = RedisSettings.load()
    if brings_own_redis(settings):
        return settings
    server = running(pipeline.redis_folder)
    if server is None:
        return settings
    # A .env made for Compose holds the password of its server; that of this home has none, and no TLS.
    return RedisSettings.load(
        host="127.0.0.1", port=server.port, url=None, username=None, password=None, ssl=False
    )
