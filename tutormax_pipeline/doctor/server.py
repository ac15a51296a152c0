"""The Redis server: whether it keeps what it is given, has what we need, and tells the time as we do."""

from __future__ import annotations

from collections.abc import Iterator

from queue_core.config import RedisSettings
from queue_core.server_facts import ServerFacts
from tutormax_pipeline.findings import Finding, Severity

#: Share of its memory from which a server counts as nearly full.
_NEARLY_FULL = 0.8
#: A difference between clocks from which ages and times of retries mislead.
_CLOCK_SECONDS = 1.0
#: Each batch takes some round trips: this slow, a drain mostly waits.
_LATENCY_SECONDS = 0.05

_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE


def findings(facts: ServerFacts, settings: RedisSettings) -> Iterator[Finding]:
    """Everything that is wrong with the server."""
    yield from _commands(facts)
    yield from _durability(facts)
    yield from _memory(facts)
    yield from _role(facts)
    yield from _timeout(facts, settings)
    yield from _clock(facts)
    if facts.config is None:
        yield Finding(
            "config_not_checked",
            _NOTE,
            "Redis refuses CONFIG, as managed ones do: appendfsync and timeout were not checked.",
            "Look there yourself: appendfsync must not be 'no', timeout should be 0.",
        )


def _commands(facts: ServerFacts) -> Iterator[Finding]:
    if facts.missing_commands:
        yield Finding(
            "commands",
            _ERROR,
            f"Redis lacks commands that are needed: {', '.join(facts.missing_commands)}.",
            "Use Redis 7.0 or newer, or Valkey; where they were renamed or forbidden, allow them.",
        )
    elif facts.missing_commands is None:
        yield Finding(
            "commands_not_checked",
            _NOTE,
            "Redis refuses COMMAND INFO: whether it has every command that is needed was not checked.",
            "Allow '+command|info' to this user, or make sure that it is Redis 7.0 or newer.",
        )
    version = str(facts.info.get("redis_version", ""))
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < 7:
        yield Finding("version", _ERROR, f"Redis {version} is too old.", "Use Redis 7.0 or newer, or Valkey.")


def _durability(facts: ServerFacts) -> Iterator[Finding]:
    info, config = facts.info, facts.config or {}
    if info.get("maxmemory_policy") != "noeviction":
        yield Finding(
            "eviction",
            _ERROR,
            f"Redis deletes keys when its memory is full (maxmemory-policy {info.get('maxmemory_policy')}).",
            "Set 'maxmemory-policy noeviction' in its configuration.",
        )
    if not info.get("aof_enabled"):
        yield Finding(
            "append_only",
            _WARNING,
            "Redis keeps no append-only file: a restart loses what was published since its last snapshot.",
            "Set 'appendonly yes' in its configuration.",
        )
    if config.get("appendfsync") == "no":
        yield Finding(
            "appendfsync",
            _WARNING,
            "Redis leaves it to the system when its append-only file reaches the disk (appendfsync no): a "
            "power cut loses up to half a minute.",
            "Set 'appendfsync everysec', which loses a second at most, or 'always'.",
        )
    if info.get("aof_last_write_status", "ok") != "ok":
        yield Finding(
            "aof_write",
            _ERROR,
            "Redis could not write its append-only file: it refuses to take messages.",
            "Make room on its disk; its log names the error.",
        )
    if info.get("aof_last_bgrewrite_status", "ok") != "ok":
        yield Finding(
            "aof_rewrite",
            _WARNING,
            "Redis could not rewrite its append-only file, which grows until it can.",
            "Make room on its disk and in memory, then: redis-cli BGREWRITEAOF",
        )
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        refuses = config.get("stop-writes-on-bgsave-error", "yes") == "yes" and config.get("save", "x")
        yield Finding(
            "snapshot",
            _ERROR if refuses else _WARNING,
            "Redis could not write its last snapshot"
            + (": it refuses to take messages." if refuses else "."),
            "Make room on its disk; its log names the error. Then: redis-cli BGSAVE",
        )


def _memory(facts: ServerFacts) -> Iterator[Finding]:
    used, limit = int(facts.info.get("used_memory", 0)), int(facts.info.get("maxmemory", 0))
    of = "maxmemory"
    if not limit:
        limit, of = int(facts.info.get("total_system_memory", 0)), "its machine has"
    if limit and used >= _NEARLY_FULL * limit:
        yield Finding(
            "memory",
            _WARNING,
            f"Redis uses {_mib(used)} of {_mib(limit)} that {of}: publishing is refused when it is full.",
            "Run 'tutormax drain --help' and drain what waits; lower REDIS_MESSAGE_TTL_SECONDS, so that "
            "processed entries go earlier; or give it more memory.",
        )


def _role(facts: ServerFacts) -> Iterator[Finding]:
    if facts.info.get("role") not in ("master", None):
        yield Finding(
            "replica",
            _ERROR,
            f"Redis is a {facts.info['role']}, a copy of another one: it takes no messages.",
            "Point REDIS_HOST or REDIS_URL at the primary.",
        )


def _timeout(facts: ServerFacts, settings: RedisSettings) -> Iterator[Finding]:
    given = (facts.config or {}).get("timeout", "0")
    seconds = int(given) if given.isdigit() else 0
    ours = settings.worker_max_processing_time_seconds
    if 0 < seconds < ours:
        yield Finding(
            "client_timeout",
            _WARNING,
            f"Redis closes connections that are idle for {seconds:,} s; ours may be for {ours:,.0f} s, while "
            "a batch is stored. Each is made anew, at a cost.",
            f"Set 'timeout 0', or {ours:,.0f} or more, in its configuration.",
        )


def _clock(facts: ServerFacts) -> Iterator[Finding]:
    ahead = facts.clock_ahead_seconds
    if abs(ahead) - facts.latency_seconds > _CLOCK_SECONDS:
        yield Finding(
            "clock",
            _WARNING,
            f"The clock of Redis is {abs(ahead):,.1f} s {'ahead of' if ahead > 0 else 'behind'} this "
            "machine's: ages of messages, and what is expired, are off by as much.",
            "Set both by the same time server (chrony, systemd-timesyncd).",
        )
    if facts.latency_seconds > _LATENCY_SECONDS:
        yield Finding(
            "latency",
            _WARNING,
            f"Redis takes {facts.latency_seconds * 1000:,.0f} ms to answer.",
            "Drain from a machine that is nearer, and look for slow commands: redis-cli SLOWLOG GET 10",
        )


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 1_048_576:,.0f} MiB"
