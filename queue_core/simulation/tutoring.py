"""What happens in a tutoring business, in the order in which it happens.

Everything refers to something that is there: sessions to tutors who appeared before, feedback to sessions
that were held. What happens to one thing is told under one id, in order.
"""

from __future__ import annotations

import heapq
import math
import random
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

from queue_core.channels import Channel, QueueChannels
from queue_core.simulation.rhythm import arrivals

_SUBJECTS = ("Mathematics", "Physics", "Chemistry", "English", "Spanish", "History", "Programming")
_FIRST = ("Ada", "Ben", "Chen", "Dora", "Emil", "Fatima", "Goran", "Hana", "Ines", "Jonas", "Kofi", "Lena")
_LAST = ("Alder", "Brook", "Cliff", "Dale", "Elm", "Field", "Grove", "Hill", "Ivy", "Jasper", "Knoll", "Lake")
_COMMENTS = {5: "Clear and patient.", 4: "Good pace.", 3: "It was all right.", 2: "Too fast.", 1: "Late."}
#: Hours between which sessions begin.
_OPENS, _CLOSES = 8, 22
#: Tutors who are there from the first moment.
_FOUNDERS = 20
_OUTCOMES = {"completed": 82, "cancelled": 11, "no_show": 7}
#: Of the messages about tutors, how many are of new ones; the others are changes.
_NEW_TUTORS = 0.4
_LAST_YEAR = 9_999


@dataclass(frozen=True, slots=True)
class Plan:
    """How much happens.

    Attributes:
        days: how long, from the start on.
        tutors: messages about tutors on a mean day.
        sessions: messages about sessions on a mean day: each has two, its booking and its end.
        feedback: feedback given on a mean day.
        seed: another business for each number.

    Raises:
        ValueError: a figure is not finite, there are no days, or fewer messages than none.
    """

    days: float = 7
    tutors: float = 100
    sessions: float = 2_500
    feedback: float = 400
    seed: int = 1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.days) and self.days > 0):
            raise ValueError(f"days must be a number above 0, and not {self.days}")
        for name in ("tutors", "sessions", "feedback"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a number of messages a day, 0 or more, and not {value}")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, as a message to be published.

    Attributes:
        at: when.
        channel: the channel it belongs to.
        message_id: its id, of the seed's making.
        data: the record.
    """

    at: datetime
    channel: Channel
    message_id: str
    data: Mapping[str, object]


def business(plan: Plan, start: datetime) -> Iterator[Event]:
    """Everything that happens from ``start`` on, in order, made as it is wanted.

    The same plan and start give the same events, ids included; another start gives others. What would happen
    after the end (a session booked on the last evening) is left out.

    Raises:
        ValueError: the start has no time zone, or the end is after the year 9998.
    """
    return _Business(plan, start).events()


class _Business:
    def __init__(self, plan: Plan, start: datetime) -> None:
        self._plan, self._start = plan, start
        self._end = _end(plan, start)
        # The start too: ids that were sent before would be taken for the same messages, and store nothing.
        source = f"{plan.seed}:{start.isoformat()}"
        self._chance = random.Random(source)  # noqa: S311 - the same business each time
        self._coming: list[tuple[datetime, int, Callable[[datetime], Event]]] = []
        self._order = count()
        self._tutors: list[dict[str, object]] = []
        self._sessions = count(1)
        # Feedback is given on so many of the sessions that were held.
        held = plan.sessions / 2 * _OUTCOMES["completed"] / 100
        self._feedback_share = min(1.0, plan.feedback / held) if held else 0.0

    def events(self) -> Iterator[Event]:
        for _ in range(_FOUNDERS if self._plan.tutors or self._plan.sessions else 0):
            self._expect(self._start, self._new_tutor)
        day = self._start
        while day < self._end:
            self._plan_day(day)
            day += timedelta(days=1)
            while self._coming and self._coming[0][0] < min(day, self._end):
                at, _, happens = heapq.heappop(self._coming)
                yield happens(at)

    def _plan_day(self, day: datetime) -> None:
        for at in arrivals(self._chance, day, self._plan.tutors):
            self._expect(at, self._new_or_changed_tutor)
        for at in arrivals(self._chance, day, self._plan.sessions / 2):
            self._expect(at, self._booking)

    def _expect(self, at: datetime, happens: Callable[[datetime], Event]) -> None:
        heapq.heappush(self._coming, (at, next(self._order), happens))

    def _event(self, at: datetime, channel: Channel, data: dict[str, object]) -> Event:
        message_id = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        return Event(at, channel, message_id, {name: value for name, value in data.items() if value != ""})

    def _new_or_changed_tutor(self, at: datetime) -> Event:
        if self._chance.random() < _NEW_TUTORS:
            return self._new_tutor(at)
        tutor, chance = self._chance.choice(self._tutors), self._chance
        tutor |= {
            "rating": round(chance.uniform(3, 5), 2),
            "sessions_count": chance.randint(1, 400),
            "active": chance.random() < 0.95,
        }
        return self._event(at, QueueChannels.TUTORS, tutor)

    def _new_tutor(self, at: datetime) -> Event:
        chance, number = self._chance, len(self._tutors) + 1
        tutor: dict[str, object] = {
            "tutor_id": f"T{number:05d}",
            "name": f"{chance.choice(_FIRST)} {chance.choice(_LAST)}",
            "subject": chance.choice(_SUBJECTS),
            "email": f"tutor{number}@example.org",
            "qualifications": chance.sample(("BSc", "MSc", "PhD", "teaching diploma"), chance.randint(0, 2)),
            "active": True,
            # No contract lists it: the pipeline keeps it all the same.
            "signup_source": chance.choice(("web", "app", "")),
        }
        self._tutors.append(tutor)
        return self._event(at, QueueChannels.TUTORS, tutor)

    def _booking(self, at: datetime) -> Event:
        chance, tutor = self._chance, self._chance.choice(self._tutors)
        starts = at + timedelta(minutes=30 + chance.expovariate(1 / 240))
        starts -= timedelta(
            minutes=starts.minute % 15, seconds=starts.second, microseconds=starts.microsecond
        )
        if not _OPENS <= starts.hour < _CLOSES:
            starts += timedelta(hours=24 - _CLOSES + _OPENS)
        session: dict[str, object] = {
            "session_id": f"S{next(self._sessions):07d}",
            "tutor_id": tutor["tutor_id"],
            "student_id": f"U{chance.randint(1, 2_000):05d}",
            "subject": tutor["subject"],
            "scheduled_start": _text(starts),
            "status": "scheduled",
        }
        (status,) = chance.choices(list(_OUTCOMES), list(_OUTCOMES.values()))
        minutes = chance.choice((30, 45, 60, 60, 90))
        if status == "completed":
            ends = starts + timedelta(minutes=minutes)
        elif status == "no_show":
            ends = starts + timedelta(minutes=15)
        else:
            ends = at + (starts - at) * chance.random()
        self._expect(ends, lambda now: self._outcome(now, session, status, starts, minutes))
        return self._event(at, QueueChannels.SESSIONS, session)

    def _outcome(
        self, at: datetime, booked: dict[str, object], status: str, starts: datetime, minutes: int
    ) -> Event:
        session = booked | {"status": status}
        if status == "completed":
            session |= {
                "started_at": _text(starts),
                "ended_at": _text(at),
                "duration_minutes": minutes,
                "participants": 1,
                "engagement": round(self._chance.betavariate(5, 2), 2),
            }
            if self._chance.random() < self._feedback_share:
                later = timedelta(minutes=self._chance.expovariate(1 / 45))
                self._expect(at + later, lambda now: self._feedback(now, session))
        return self._event(at, QueueChannels.SESSIONS, session)

    def _feedback(self, at: datetime, session: Mapping[str, object]) -> Event:
        (rating,) = self._chance.choices((5, 4, 3, 2, 1), (50, 30, 12, 5, 3))
        feedback: dict[str, object] = {
            "feedback_id": f"F{str(session['session_id'])[1:]}",
            "session_id": session["session_id"],
            "tutor_id": session["tutor_id"],
            "student_id": session["student_id"],
            "rating": rating,
            "comment": _COMMENTS[rating] if self._chance.random() < 0.5 else "",
            "sentiment": "positive" if rating > 3 else "neutral" if rating == 3 else "negative",
            "submitted_at": _text(at),
        }
        return self._event(at, QueueChannels.FEEDBACK, feedback)


def _end(plan: Plan, start: datetime) -> datetime:
    if start.tzinfo is None:
        raise ValueError("the start must have a time zone, such as UTC")
    try:
        end = start.astimezone(UTC) + timedelta(days=plan.days)
    except OverflowError:
        end = datetime.max.replace(tzinfo=UTC)
    # What is foreseen beyond the end still needs dates of its own.
    if end.year >= _LAST_YEAR:
        raise ValueError(
            f"the end must be before the year {_LAST_YEAR}: choose an earlier start or fewer days"
        )
    return end


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
