"""When a review of the dead letters is launched, tick by tick."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from queue_core import QueueChannels, RedisClient
from queue_core.dead_letter import DeadLetters, LetterFilter
from queue_core.errors import QueueUnavailableError
from queue_core.letter_counts import LetterTraffic, letter_traffic
from tests.dagster_location.test_assets import Resources
from tests.dagster_location.test_dead_letters import review
from tests.dagster_location.test_sensors import ENDED, IN_FLIGHT, ORIGIN
from tests.queue.letters import bury
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.defs.letter_sensor import dead_letter_sensor
from tutormax_pipeline.defs.resources import QueueResource
from tutormax_pipeline.review_policy import (
    ASK_AGAIN_SECONDS,
    REST_SECONDS,
    Watch,
    decide_review,
)

TUTORS = QueueChannels.TUTORS


class Ticks:
    """The sensor, with the cursor that goes from tick to tick."""

    def __init__(self, resources: Resources, instance: dg.DagsterInstance) -> None:
        self._given: dict[str, Any] = {
            "instance": instance,
            "resources": {"queue": resources["queue"]},
        }
        self.cursor: str | None = None

    def __call__(self) -> dg.SensorResult:
        result = dead_letter_sensor(dg.build_sensor_context(cursor=self.cursor, **self._given))
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return result


@pytest.fixture
def tick(resources: Resources, instance: dg.DagsterInstance) -> Ticks:
    return Ticks(resources, instance)


def test_where_nothing_ever_died_it_launches_nothing(tick: Ticks) -> None:
    for _ in range(3):
        result = tick()
        assert not result.run_requests
        assert "0 dead letters" in str(result.skip_reason)


def test_a_burst_is_reviewed_once_when_it_stands_still(
    client: RedisClient, tick: Ticks, resources: Resources, instance: dg.DagsterInstance
) -> None:
    bury(client, 2)
    assert "still change" in str(tick().skip_reason)
    bury(client, 1)
    assert "still change" in str(tick().skip_reason)
    (request,) = tick().run_requests
    assert request.tags["tutormax/started_because"].startswith("3 dead letters: 3 came and 0 went")
    assert request.run_key is None
    assert review(instance, resources).success
    for _ in range(3):
        assert "all of them reviewed" in str(tick().skip_reason)


def test_letters_that_went_away_are_reviewed_too_and_so_is_one_for_one(
    client: RedisClient, tick: Ticks, resources: Resources, instance: dg.DagsterInstance
) -> None:
    bury(client, 2)
    review(instance, resources)
    assert "reviewed" in str(tick().skip_reason)
    letters = DeadLetters(client)
    letters.redrive([next(letters.iterate()).id], dry_run=False)
    tick()
    (request,) = tick().run_requests
    assert "1 dead letters: 0 came and 1 went" in request.tags["tutormax/started_because"]
    review(instance, resources)
    tick()
    letters.redrive([next(letters.iterate()).id], dry_run=False)
    bury(client, 1, channel=QueueChannels.FEEDBACK)
    tick()
    (request,) = tick().run_requests
    assert "1 dead letters: 1 came and 1 went" in request.tags["tutormax/started_because"]


def test_a_review_by_hand_counts(
    client: RedisClient, tick: Ticks, resources: Resources, instance: dg.DagsterInstance
) -> None:
    bury(client, 2)
    tick()
    review(instance, resources)
    assert "all of them reviewed" in str(tick().skip_reason)


def test_while_a_review_is_in_flight_no_other_is_launched(client: RedisClient, resources: Resources) -> None:
    bury(client, 2)
    job = defs.resolve_job_def("review_dead_letters")
    for status in [*IN_FLIGHT, *ENDED]:
        with dg.DagsterInstance.ephemeral() as instance:
            instance.create_run_for_job(job, status=dg.DagsterRunStatus(status), remote_job_origin=ORIGIN)
            tick = Ticks(resources, instance)
            tick()
            result = tick()
            assert bool(result.run_requests) == (status in ENDED), status
            if status in IN_FLIGHT:
                assert "A review is running" in str(result.skip_reason)


def test_a_review_that_did_not_come_is_not_asked_for_at_every_tick(client: RedisClient, tick: Ticks) -> None:
    bury(client, 2)
    tick()
    assert tick().run_requests
    assert "has not come" in str(tick().skip_reason)
    DeadLetters(client).redrive(LetterFilter(), limit=1, dry_run=False)
    tick()
    assert tick().run_requests


@pytest.mark.parametrize("cursor", ["", "junk", "[]", '{"reviewed": 5}', '{"other": 1}'])
def test_a_cursor_that_cannot_be_read_is_as_none(client: RedisClient, tick: Ticks, cursor: str) -> None:
    bury(client, 1)
    tick.cursor = cursor
    assert "still change" in str(tick().skip_reason)
    assert tick().run_requests


def test_it_is_on_and_looks_as_often_as_the_daemon() -> None:
    assert dead_letter_sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert [target.job_name for target in dead_letter_sensor.targets] == ["review_dead_letters"]
    assert 1 <= (dead_letter_sensor.minimum_interval_seconds or 0) <= 4


def test_redis_away_fails_the_tick_in_words(instance: dg.DagsterInstance) -> None:
    with pytest.raises(QueueUnavailableError, match="not available"):
        Ticks({"queue": QueueResource(url="redis://127.0.0.1:1/0")}, instance)()


def test_a_tick_costs_little_also_beside_large_letters(client: RedisClient, tick: Ticks) -> None:
    for _ in range(3):
        client.redis.xadd(client.keys.dead_letter, {"channel": "tutors", "message": b"x" * 1_000_000})
    before = client.redis.info("stats")["total_net_output_bytes"]
    assert letter_traffic(client) == LetterTraffic(3, 3)
    tick()
    sent = client.redis.info("stats")["total_net_output_bytes"] - before
    assert sent < 100_000


def test_letters_that_never_cease_are_reviewed_after_a_minute_and_then_at_rests() -> None:
    watch, launches, now = Watch(), [], time.time()
    for second in range(0, 700, 5):
        decision = decide_review(watch, LetterTraffic(second, second + 1), now + second, 0)
        watch = decision.watch
        if decision.launch:
            launches.append(second)
            watch = replace(watch, reviewed=watch.seen)
    assert launches == [60, 60 + REST_SECONDS, 60 + 2 * REST_SECONDS]


def test_a_rest_holds_through_quiet_times_and_not_for_letters_that_went() -> None:
    one, two = LetterTraffic(1, 1), LetterTraffic(2, 2)
    rested = decide_review(Watch(reviewed=one, seen=one, asked=one, asked_at=1_000), one, 1_005, 0).watch
    came = decide_review(replace(rested, seen=two, changing_since=1_006), two, 1_010, 0)
    assert (came.launch, "the next is in 290 s" in came.why) == (False, True)
    assert decide_review(came.watch, two, 1_000 + REST_SECONDS, 0).launch
    gone = LetterTraffic(0, 1)
    assert decide_review(replace(rested, seen=gone, changing_since=1_006), gone, 1_010, 0).launch


def test_a_review_that_failed_is_asked_for_again_after_a_while() -> None:
    traffic = LetterTraffic(1, 1)
    asked = Watch(seen=traffic, asked=traffic, asked_at=1_000.0)
    assert not decide_review(asked, traffic, 1_000 + ASK_AGAIN_SECONDS - 1, 0).launch
    assert decide_review(asked, traffic, 1_000 + ASK_AGAIN_SECONDS, 0).launch
