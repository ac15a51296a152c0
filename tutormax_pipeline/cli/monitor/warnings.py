"""What is wrong in a look, in words; what a person has to see first."""

from __future__ import annotations

from queue_core.look import Look

#: Share of the memory above which it is about to be full.
_MEMORY_SHARE = 0.9


def warnings(seen: Look) -> list[str]:
    """One line for each thing that is wrong, the server's first; empty where nothing is."""
    health, lines = seen.health, []
    if health.eviction_policy != "noeviction":
        lines.append(f"Redis may drop queues: maxmemory-policy is {health.eviction_policy}, not noeviction")
    if not health.append_only:
        lines.append("Redis keeps no append-only file: a restart may lose messages")
    if health.maxmemory_bytes and health.used_memory_bytes > _MEMORY_SHARE * health.maxmemory_bytes:
        lines.append(f"Redis has used {health.used_memory_bytes / health.maxmemory_bytes:.0%} of its memory")
    unread = [one for one in seen.channels if one.figures.entries_added and not one.figures.group_exists]
    left = [one for one in seen.channels if one.figures.claimable]
    for channels, words in (
        (unread, "no consumer group; the next drain makes it"),
        (left, "something was left behind; the next drain takes it"),
    ):
        if channels:
            lines.append(f"{', '.join(one.figures.channel for one in channels)}: {words}")
    return lines
