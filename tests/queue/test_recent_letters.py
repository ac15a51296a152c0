"""The newest dead letters by reason: bounded, and blind to what people wrote."""

from __future__ import annotations

from queue_core import QueueChannels, RedisClient
from queue_core.outcomes import Reason
from queue_core.recent_letters import recent_letters
from tests.queue.letters import bury


def test_letters_are_counted_by_channel_and_reason_the_newest_first(client: RedisClient) -> None:
    bury(client, 2, reason=Reason.EXPIRED)
    last = bury(client, 3, channel=QueueChannels.SESSIONS, reason=Reason.INVALID)
    seen = recent_letters(client)
    assert (seen.total, seen.looked_at, seen.newest_id) == (5, 5, last[-1])
    assert [(one.channel, one.reason, one.count) for one in seen.by_reason] == [
        ("sessions", "invalid", 3),
        ("tutors", "expired", 2),
    ]
    assert seen.by_reason[0].newest_id == last[-1]
    assert int(seen.by_reason[0].newest_at.timestamp() * 1000) == int(last[-1].partition("-")[0])


def test_only_the_newest_are_looked_at_and_all_are_counted(client: RedisClient) -> None:
    bury(client, 3, reason=Reason.EXPIRED)
    bury(client, 2, reason=Reason.INVALID)
    seen = recent_letters(client, most=3)
    assert (seen.total, seen.looked_at) == (5, 3)
    assert [(one.reason, one.count) for one in seen.by_reason] == [("invalid", 2), ("expired", 1)]


def test_a_look_ends_after_some_megabytes_however_large_the_letters(client: RedisClient) -> None:
    letter = {"message": b"x" * 1_000_000, "channel": "tutors", "reason": "invalid"}
    for _ in range(8):
        client.redis.xadd(client.keys.dead_letter, letter)
    seen = recent_letters(client)
    assert (seen.total, seen.looked_at) == (8, 5)


def test_without_letters_there_is_nothing_to_show(client: RedisClient) -> None:
    seen = recent_letters(client)
    assert (seen.total, seen.looked_at, seen.newest_id, seen.by_reason) == (0, 0, "0-0", ())


def test_what_somebody_wrote_in_place_of_a_reason_is_shown_as_other(client: RedisClient) -> None:
    for values in ({"reason": "Ann Smith"}, {"channel": b"\xff", "reason": "x"}, {"message": "{}"}):
        client.redis.xadd(client.keys.dead_letter, values)
    seen = recent_letters(client)
    assert [(one.channel, one.reason, one.count) for one in seen.by_reason] == [("other", "other", 3)]


def test_an_id_beyond_the_calendar_is_no_error(client: RedisClient) -> None:
    client.redis.xadd(client.keys.dead_letter, {"reason": "x"}, id="18446744073709551615-1")
    assert recent_letters(client).by_reason[0].newest_at.year == 9999
