"""What docs/guarantees.md says of each kind of server is so."""

from __future__ import annotations

from pathlib import Path

import pytest

from queue_core import RedisClient

TABLE = Path(__file__).parents[2] / "docs" / "guarantees.md"
COLUMNS = {"valkey": 1, "redis": 2}


def said(kind: str) -> dict[str, str]:
    """Command -> yes or no, as the column of a kind of server says."""
    rows = [line.strip("|\n ").split("|") for line in TABLE.read_text().splitlines() if "(not used)" in line]
    return {
        command.strip("` "): row[COLUMNS[kind]].strip()
        for row in rows
        for command in row[0].partition(" (")[0].split(",")
    }


def test_the_table_says_which_commands_a_server_has(client: RedisClient) -> None:
    info = client.redis.info("server")
    kind = "valkey" if "valkey_version" in info else "redis"
    has = {name.upper() for name in client.redis.command()}
    assert said(kind) == {name: "yes" if name in has else "no" for name in said(kind)}
    assert len(said(kind)) == 4


@pytest.mark.parametrize(
    "script", sorted(Path(__file__).parents[2].glob("queue_core/scripts/*.lua")), ids=lambda path: path.stem
)
def test_a_script_uses_only_commands_that_every_server_has(client: RedisClient, script: Path) -> None:
    used = {
        part.partition("'")[0] for part in script.read_text().replace("pcall", "call").split(".call('")[1:]
    }
    has = {name.upper() for name in client.redis.command()}
    assert used <= has
