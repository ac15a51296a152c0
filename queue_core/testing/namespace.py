"""A namespace of its own for each test, on a server that others may use too."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from queue_core.client import RedisClient
from queue_core.config import RedisSettings
from queue_core.errors import ConfigurationError

#: What says where to connect, and as whom.
_WHERE = {"url", "host", "port", "db", "username", "password", "key_prefix"}
_CHANGEABLE = [name for name in RedisSettings.model_fields if name not in _WHERE]
#: Keys that are deleted in one command.
_STEP_KEYS = 500


class GivenSettings(RedisSettings):
    """Settings that come from the test alone: neither the environment nor a ``.env`` has a say."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings passes all of them
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is given in code."""
        return (init_settings,)


@contextmanager
def own_namespace(url: SecretStr, **settings: Any) -> Iterator[RedisClient]:
    """A client whose keys all begin with a prefix that nobody else has; at the end they are deleted.

    Args:
        url: the server.
        settings: any of ``RedisSettings``.

    Raises:
        ConfigurationError: one of them is wrong, is none, or would make the namespace another one.
    """
    for name in settings:
        # Another prefix could be that of a real queue, all of which would be deleted at the end.
        if name not in _CHANGEABLE:
            raise ConfigurationError(f"{name}: may not be given here; what may be: {', '.join(_CHANGEABLE)}")
    # In braces, so that a Cluster keeps all of them together.
    prefix = f"{{test-{uuid.uuid4().hex}}}"
    with RedisClient(GivenSettings.load(url=url, key_prefix=prefix, **settings)) as client:
        try:
            yield client
        finally:
            remove_keys(client)


def remove_keys(client: RedisClient) -> None:
    """Delete every key under the client's prefix, and no other one.

    Raises:
        QueueUnavailableError: Redis is away.
    """
    pattern = "".join(f"\\{one}" if one in "*?[]\\" else one for one in client.settings.key_prefix)
    found: list[bytes] = []
    with client.errors():
        for key in client.redis.scan_iter(f"{pattern}:*", count=1_000):
            found.append(key)
            if len(found) == _STEP_KEYS:
                client.redis.unlink(*found)
                found.clear()
        if found:
            client.redis.unlink(*found)
