"""The data contract: what a tutor, a session and a feedback message may hold.

Values are taken as they are or refused, never converted: ``"4.8"`` is not a number. A field that is
not listed is kept, in the column ``extra``. A class here and an entry in ``queue_core.channels``
make a channel.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from queue_core.channels import Channel
from queue_core.outcomes import Message, Reason, Rejection


def _instant(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be an ISO 8601 date and time, as text")
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be an ISO 8601 date and time") from None


#: A point in time, given as ISO 8601 text; read as UTC where it names no offset.
Instant = Annotated[datetime, BeforeValidator(_instant, json_schema_input_type=datetime)]
Identifier = Annotated[str, Field(min_length=1, max_length=256)]

#: Ends the description of a field that holds personal data.
PERSONAL = "Personal data."


class Record(BaseModel):
    """What all records share: strict values, unlisted fields kept."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class Tutor(Record):
    """A tutor's profile."""

    tutor_id: Identifier = Field(description="Identifies the tutor.")
    name: str = Field(description="Full name. Personal data.")
    subject: str | None = Field(None, description="Main subject taught.")
    rating: float | None = Field(None, ge=0, le=5, description="Mean rating, 0 to 5.")
    sessions_count: int | None = Field(None, ge=0, description="Sessions held so far.")
    email: str | None = Field(None, description="Address for mail. Personal data.")
    qualifications: list[str] | None = Field(None, description="Degrees and certificates.")
    demographics: dict[str, Any] | None = Field(None, description="Age, gender and the like. Personal data.")
    metrics: dict[str, Any] | None = Field(None, description="Figures that the services compute.")
    active: bool | None = Field(None, description="Whether the tutor takes sessions now.")


class Session(Record):
    """A tutoring session, from booking to outcome."""

    session_id: Identifier = Field(description="Identifies the session.")
    tutor_id: Identifier = Field(description="The tutor who gives it.")
    student_id: str | None = Field(None, description="The student, where there is one.")
    student_ids: list[str] | None = Field(None, description="The students, where there are several.")
    subject: str | None = Field(None, description="What is taught.")
    scheduled_start: Instant | None = Field(None, description="When it is to start, UTC.")
    started_at: Instant | None = Field(None, description="When it started, UTC.")
    ended_at: Instant | None = Field(None, description="When it ended, UTC.")
    duration_minutes: float | None = Field(None, ge=0, description="Length in minutes.")
    participants: int | None = Field(None, ge=0, description="How many took part.")
    status: Literal["scheduled", "completed", "cancelled", "no_show"] | None = Field(
        None, description="scheduled, completed, cancelled or no_show."
    )
    outcome: str | None = Field(None, description="How it went.")
    notes: str | None = Field(None, description="The tutor's notes. Personal data.")
    engagement: float | None = Field(None, ge=0, le=1, description="How engaged the students were, 0 to 1.")


class Feedback(Record):
    """What a student says of a session."""

    feedback_id: Identifier = Field(description="Identifies the feedback.")
    tutor_id: Identifier = Field(description="The tutor it is about.")
    rating: float = Field(ge=1, le=5, description="1 (poor) to 5 (excellent).")
    session_id: str | None = Field(None, description="The session it is about.")
    student_id: str | None = Field(None, description="The student who gave it.")
    comment: str | None = Field(None, description="In the student's words. Personal data.")
    sentiment: Literal["positive", "neutral", "negative"] | None = Field(
        None, description="positive, neutral or negative."
    )
    sentiment_score: float | None = Field(None, ge=-1, le=1, description="-1 (negative) to 1 (positive).")
    submitted_at: Instant | None = Field(None, description="When it was given, UTC.")


@cache
def record_class(channel: Channel) -> type[Record]:
    """The class that the channel's entry in the registry names.

    Raises:
        LookupError: this module has no such class.
    """
    found = getattr(sys.modules[__name__], channel.record, None)
    if not (isinstance(found, type) and issubclass(found, Record)):
        raise LookupError(
            f"Channel {channel} names the record {channel.record}, which {__name__} does not have."
        )
    return found


def validate(contract: type[Record], message: Message) -> Record | Rejection:
    """Check a message's data against its record; every fault is told, without a value or a free-form key."""
    try:
        return contract.model_validate(message.data)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        faults = tuple(f"{_place(contract, problem['loc'])}: {problem['msg']}" for problem in problems)
        return Rejection(Reason.INVALID, faults, message.id, message.published_at)


def _place(contract: type[Record], keys: tuple[int | str, ...]) -> str:
    # Below a field of the contract keys are free-form, and may be somebody's name.
    known = [
        isinstance(key, int) or (at == 0 and key in contract.model_fields) for at, key in enumerate(keys)
    ]
    return ".".join(str(key) if named else "*" for key, named in zip(keys, known, strict=True))
