"""The simulated business: the same each time, in order, and of sense."""

from __future__ import annotations

import math
import random
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice, pairwise

import pytest

from queue_core import QueueChannels
from queue_core.outcomes import Message, Rejection
from queue_core.simulation import Event, Fault, Plan, business, with_faults
from queue_core.simulation.rhythm import arrivals
from tutormax_pipeline.records import record_class, validate

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
TUTORS, SESSIONS, FEEDBACK = QueueChannels.all()


@pytest.fixture(scope="module")
def week() -> list[Event]:
    return list(business(Plan(), MONDAY))


def test_the_same_seed_gives_the_same_messages_ids_included(week: list[Event]) -> None:
    again = business(Plan(), MONDAY)
    assert [next(again) for _ in range(3_000)] == week[:3_000]
    other = business(Plan(seed=2), MONDAY)
    assert not {next(other).message_id for _ in range(100)} & {event.message_id for event in week}


@pytest.mark.parametrize("seed", [1, -1])
def test_another_start_or_seed_shares_no_message_id_so_that_a_second_run_stores_something(seed: int) -> None:
    def ids(plan: Plan, start: datetime) -> set[str]:
        events = islice(business(plan, start), 1_000)
        return {one.event.message_id for one in with_faults(events, bad_share=0.2, duplicate_share=0, seed=1)}

    first = ids(Plan(seed=seed), MONDAY)
    assert not first & ids(Plan(seed=seed), MONDAY + timedelta(seconds=1))
    assert not first & ids(Plan(seed=-seed), MONDAY)
    # Its days have other evenings, and so it is another business.
    assert not first & ids(Plan(seed=seed), MONDAY.astimezone(timezone(timedelta(hours=5))))
    assert first == ids(Plan(seed=seed), MONDAY)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"days": math.nan}, "days must be a number above 0, and not nan"),
        ({"days": math.inf}, "days must be"),
        ({"days": 0}, "days must be"),
        ({"tutors": -1}, "tutors must be a number of messages a day"),
        ({"sessions": math.nan}, "sessions must be"),
        ({"feedback": math.inf}, "feedback must be"),
    ],
)
def test_a_plan_without_sense_is_refused(plan: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Plan(**plan)


@pytest.mark.parametrize(
    ("plan", "start", "words"),
    [
        (Plan(1e9), MONDAY, "the end must be before the year 9999"),
        (Plan(1e30), MONDAY, "the end must be before the year 9999"),
        (Plan(), datetime(9999, 12, 31, tzinfo=UTC), "the end must be before the year 9999"),
        (Plan(), datetime(2026, 11, 2), "must have a time zone"),  # noqa: DTZ001
    ],
)
def test_a_start_or_an_end_that_no_calendar_has_is_refused_at_once(
    plan: Plan, start: datetime, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        business(plan, start)


def test_the_last_day_that_is_allowed_is_played_to_its_end() -> None:
    assert list(business(Plan(1, 10, 500, 100), datetime(9998, 12, 30, tzinfo=UTC)))


def test_everything_comes_in_the_order_in_which_it_happens_under_an_id_of_its_own(week: list[Event]) -> None:
    assert all(one.at <= other.at for one, other in pairwise(week))
    assert week[0].at == MONDAY
    assert week[-1].at < MONDAY + timedelta(days=7)
    assert len({event.message_id for event in week}) == len(week)


def test_a_week_has_about_as_many_messages_as_planned(week: list[Event]) -> None:
    found = Counter(event.channel for event in week)
    # What was booked and has not ended by the last evening is missing.
    assert found[TUTORS] == pytest.approx(700, rel=0.05)
    assert found[SESSIONS] == pytest.approx(17_500, rel=0.1)
    assert found[FEEDBACK] == pytest.approx(2_800, rel=0.15)


def test_evenings_are_busy_nights_are_quiet_and_the_weekend_is_another() -> None:
    chance, days = random.Random(1), [MONDAY + timedelta(days=day) for day in range(7)]
    found = [arrivals(chance, day, 10_000) for day in days]
    working = Counter(at.hour for day in found[:5] for at in day)
    assert min(working[hour] for hour in range(15, 21)) > 5 * max(working[hour] for hour in range(6))
    saturday = Counter(at.hour for at in found[5])
    assert saturday[10] / len(found[5]) > 1.5 * working[10] / sum(working.values())
    assert len(found[5]) < 0.8 * len(found[1])
    assert sum(map(len, found)) == pytest.approx(70_000, rel=0.001)


def test_a_day_that_begins_at_noon_has_the_rhythm_of_its_hours() -> None:
    found = arrivals(random.Random(1), MONDAY + timedelta(hours=12), 10_000)
    assert found == sorted(found)
    assert all(timedelta(hours=12) <= at - MONDAY < timedelta(hours=36) for at in found)
    hours = Counter(at.hour for at in found)
    assert hours[18] > 5 * hours[3]


def test_sessions_have_tutors_and_feedback_has_sessions_that_were_held(week: list[Event]) -> None:
    tutors: set[object] = set()
    status: dict[object, list[object]] = {}
    for event in week:
        data = event.data
        if event.channel is TUTORS:
            tutors.add(data["tutor_id"])
        elif event.channel is SESSIONS:
            assert data["tutor_id"] in tutors
            status.setdefault(data["session_id"], []).append(data["status"])
        else:
            assert status[data["session_id"]] == ["scheduled", "completed"]
    ended = Counter(found[1] for found in status.values() if len(found) > 1)
    assert {found[0] for found in status.values()} == {"scheduled"}
    assert max(map(len, status.values())) == 2
    assert set(ended) == {"completed", "cancelled", "no_show"}
    assert 0.7 < ended["completed"] / ended.total() < 0.9


def test_a_session_is_held_when_it_was_to_be(week: list[Event]) -> None:
    for event in week:
        if event.channel is SESSIONS:
            starts = datetime.fromisoformat(str(event.data["scheduled_start"]))
            assert 8 <= starts.hour < 22
            if event.data["status"] in ("completed", "no_show"):
                assert event.at > starts
            else:
                assert event.at <= starts


def test_each_message_keeps_the_contract(week: list[Event]) -> None:
    for event in week[:5_000]:
        message = Message("m", MONDAY, "c", dict(event.data), {})
        assert not isinstance(validate(record_class(event.channel), message), Rejection), event


def test_there_are_as_many_bad_messages_and_duplicates_as_wanted(week: list[Event]) -> None:
    mixed = list(with_faults(week, bad_share=0.2, duplicate_share=0.1, seed=1))
    faults = Counter(one.fault for one in mixed)
    bad = sum(number for fault, number in faults.items() if fault not in (None, Fault.DUPLICATE))
    assert bad / len(mixed) == pytest.approx(0.2, abs=0.01)
    assert faults[Fault.DUPLICATE] / len(week) == pytest.approx(0.1, abs=0.01)
    assert [one.event for one in mixed if one.fault is None] == week
    assert set(faults) == {None, *Fault}
    assert mixed == list(with_faults(week, bad_share=0.2, duplicate_share=0.1, seed=1))


def test_a_bad_message_has_an_id_of_its_own_and_a_duplicate_has_not(week: list[Event]) -> None:
    good = {event.message_id for event in week}
    for one in with_faults(week, bad_share=0.2, duplicate_share=0.1, seed=1):
        assert (one.event.message_id in good) == (one.fault in (None, Fault.DUPLICATE))
        if one.fault is Fault.SCHEMA_VIOLATION:
            message = Message("m", MONDAY, "c", dict(one.event.data), {})
            assert isinstance(validate(record_class(one.event.channel), message), Rejection), one


@pytest.mark.parametrize("shares", [(-0.1, 0), (1, 0), (0, 1.1), (0, -1)])
def test_a_share_out_of_range_is_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="bad_share must be 0 to less than 1"):
        with_faults([], bad_share=shares[0], duplicate_share=shares[1], seed=1)


@pytest.mark.parametrize(
    "plan", [Plan(tutors=0), Plan(sessions=0), Plan(feedback=0), Plan(0.01), Plan(3, 1, 3, 9)]
)
def test_a_small_business_is_one_too(plan: Plan) -> None:
    found = list(business(plan, MONDAY))
    assert all(event.at < MONDAY + timedelta(days=plan.days) for event in found)
    assert plan.sessions > 0 or {event.channel for event in found} == {TUTORS}
