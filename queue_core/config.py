"""Settings of the queue, read from the environment and from ``.env``.

Names and defaults are fixed by the design; the environment wins over ``.env``.
A value out of its range stops the program at start with the variable's name and what it may be.

    settings = RedisSettings.load()                  # from the environment
    settings = RedisSettings.load(port=6380, db=2)   # the same, with two values given in code
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

import redis
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from redis.connection import parse_url

from queue_core.address import Address, check_host, parse_addresses
from queue_core.errors import ConfigurationError


class EnvironmentSettings(BaseSettings):
    """Settings whose errors name the environment variable and never the value of a secret."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True)

    @classmethod
    def load(cls, **values: Any) -> Self:
        """Read the environment; ``values`` given in code win over it.

        Raises:
            ConfigurationError: one line for each variable that is wrong.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise ConfigurationError("\n".join(cls._explain(error))) from None
        except UnicodeDecodeError:
            raise ConfigurationError(".env: is not UTF-8 text; save it as that") from None

    @classmethod
    def _explain(cls, error: ValidationError) -> list[str]:
        lines = []
        for problem in error.errors(include_url=False, include_context=False):
            if problem["type"] == "default_factory_not_called":
                continue  # only because another value is wrong
            name = str(problem["loc"][0]) if problem["loc"] else "settings"
            field = cls.model_fields.get(name)
            secret = field is not None and "SecretStr" in str(field.annotation)
            # Before an @ there may be a password, in the wrong variable.
            secret = secret or "@" in str(problem["input"])
            got = "" if secret else f", got {problem['input']!r}"
            meaning = f" ({field.description})" if field is not None and field.description else ""
            variable = f"{cls.model_config['env_prefix']}{name}".upper()
            why = problem["msg"].removeprefix("Value error, ")
            why = why[:1].lower() + why[1:]
            lines.append(f"{variable}{meaning}: {why}{got}")
        return lines


def _check_url(url: SecretStr) -> SecretStr:
    address = url.get_secret_value()
    if not re.match(r"(redis|rediss|unix)://", address):
        raise ValueError("must start with redis://, rediss:// or unix://")
    try:
        redis.ConnectionPool.from_url(address).make_connection()
    except (TypeError, ValueError):
        # Not its own words: they quote parts of the password.
        raise ValueError(
            "cannot be read; write redis://user:password@host:6379/0, any of :/?#[]@% in the password as "
            "%3A and so on, and after ? only options that redis-py knows"
        ) from None
    return url


def _is_of_a_cluster(url: str) -> bool:
    return not url.startswith("unix:") and not parse_url(url).get("db")  # type: ignore[no-untyped-call]


def _addresses(default_port: int) -> BeforeValidator:
    def parse(given: object) -> object:
        return parse_addresses(given, default_port) if isinstance(given, str) else given

    return BeforeValidator(parse)


class RedisSettings(EnvironmentSettings):
    """How to reach Redis, and the bounds within which the queue works."""

    model_config = SettingsConfigDict(env_prefix="REDIS_")

    url: Annotated[SecretStr, AfterValidator(_check_url)] | None = Field(
        None, description="whole address; wins over host, port, db, user name and password"
    )
    host: Annotated[str, AfterValidator(check_host)] = Field(
        "localhost", min_length=1, description="host name or address of the server"
    )
    port: int = Field(6379, ge=1, le=65535, description="TCP port, 1 to 65535")
    db: int = Field(0, ge=0, description="number of the logical database")
    username: str | None = Field(None, description="ACL user name")
    password: SecretStr | None = Field(None, description="password of the server or the ACL user")
    ssl: bool = Field(False, description="true to speak TLS")
    ssl_ca_certs: str | None = Field(None, description="file with the certificates to trust")
    ssl_certfile: str | None = Field(None, description="client certificate, for mutual TLS")
    ssl_keyfile: str | None = Field(None, description="key of the client certificate")
    ssl_check_hostname: bool = Field(
        True, description="whether the server's certificate must be for the name it is reached by"
    )
    sentinels: Annotated[tuple[Address, ...], NoDecode, _addresses(26379)] = Field(
        (), description="Sentinels that know where Redis is, host:port,host:port"
    )
    sentinel_master: str = Field(
        "mymaster", min_length=1, description="name under which the Sentinels know Redis"
    )
    sentinel_username: str | None = Field(None, description="ACL user name at the Sentinels")
    sentinel_password: SecretStr | None = Field(None, description="password of the Sentinels")
    cluster: bool = Field(False, description="true where Redis is a Cluster")
    cluster_nodes: Annotated[tuple[Address, ...], NoDecode, _addresses(6379)] = Field(
        (), description="more servers of the Cluster to ask when the first is away, host:port,host:port"
    )
    key_prefix: str = Field(
        default_factory=lambda known: "{tutormax}" if known.get("cluster") else "tutormax",
        pattern=r"^[A-Za-z0-9_.{}-]+$",
        description="first part of every key's name",
    )

    max_connections: int = Field(50, ge=1, description="size of the connection pool")
    socket_timeout: float = Field(
        5, ge=0.2, le=86_400, description="seconds to wait for an answer, 0.2 or more"
    )
    socket_connect_timeout: float = Field(5, gt=0, le=86_400, description="seconds to wait for a connection")
    retry_on_timeout: bool = Field(
        True, description="publish again, under the same message id, when an answer did not come"
    )
    wait_replicas: int = Field(
        0, ge=0, le=100, description="replicas that must have a message before it counts as published"
    )

    max_retries: int = Field(3, ge=0, description="retries of a failing message before its dead letter")
    retry_backoff_ms: int = Field(100, ge=0, description="first retry delay in ms, doubled each time")
    message_ttl_seconds: int = Field(
        86_400, ge=0, description="age at which an unread message expires and a processed one goes; 0: never"
    )
    max_message_size_bytes: int = Field(1_048_576, ge=1, description="largest envelope in bytes")
    queue_maxlen: int = Field(100_000, ge=1, description="unprocessed messages a channel may hold")

    worker_batch_size: int = Field(10, ge=1, le=10_000, description="messages a worker reads at once")
    worker_poll_interval_ms: int = Field(100, ge=1, description="ms between looks at an idle queue")
    worker_max_processing_time_seconds: float = Field(
        300, gt=0, le=86_400, description="seconds after which a pending message may be taken over"
    )
    worker_time_limit_seconds: float = Field(
        600, ge=0, le=86_400, description="seconds that a handler may take for a message; 0: no limit"
    )
    worker_grace_seconds: float = Field(
        25, ge=0, le=86_400, description="seconds that a handler may go on after the worker is to stop"
    )

    @field_validator("sentinels")
    @classmethod
    def _one_way_in(cls, sentinels: tuple[Address, ...], known: ValidationInfo) -> tuple[Address, ...]:
        if sentinels and known.data.get("url") is not None:
            raise ValueError(
                "cannot be combined with REDIS_URL; give user, password and REDIS_SSL by themselves"
            )
        return sentinels

    @field_validator("cluster")
    @classmethod
    def _fits_a_cluster(cls, cluster: bool, known: ValidationInfo) -> bool:
        if cluster and known.data.get("sentinels"):
            raise ValueError("a Cluster has no Sentinels; unset REDIS_SENTINELS or this")
        if cluster and known.data.get("db"):
            raise ValueError("a Cluster has no other database than 0; unset REDIS_DB or this")
        url = known.data.get("url")
        if cluster and url is not None and not _is_of_a_cluster(url.get_secret_value()):
            raise ValueError(
                "a Cluster's REDIS_URL is redis://host:port or rediss://host:port, without a database"
            )
        return cluster

    @field_validator("cluster_nodes")
    @classmethod
    def _only_of_a_cluster(cls, nodes: tuple[Address, ...], known: ValidationInfo) -> tuple[Address, ...]:
        if nodes and not known.data.get("cluster"):
            raise ValueError("has no effect without REDIS_CLUSTER=true")
        return nodes

    @field_validator("key_prefix")
    @classmethod
    def _in_one_slot(cls, prefix: str, known: ValidationInfo) -> str:
        if known.data.get("cluster") and not re.match(r"[^{]*\{[^}]+\}", prefix):
            raise ValueError(
                "needs a hash tag on a Cluster, so that all keys are in one slot: write {tutormax}, in braces"
            )
        return prefix

    @property
    def worker_max_processing_time_ms(self) -> int:
        """The same in whole ms, as the server counts."""
        return int(self.worker_max_processing_time_seconds * 1000)
