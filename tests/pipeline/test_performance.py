"""The figures of each tutor: what they count, what they leave empty, and that they are replaced whole."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql

from queue_core import MessagePublisher, QueueChannels
from tests.pipeline.conftest import Drain
from tutormax_pipeline.store import Store, StoreError, StoreUnavailableError
from tutormax_pipeline.store.database import Purpose
from tutormax_pipeline.store.minutes_between import MinutesBetween
from tutormax_pipeline.store.performance import (
    PRIOR_RATINGS,
    performance_totals,
    refresh_performance,
    values,
)
from tutormax_pipeline.store.tables import tutor_performance

pytestmark = pytest.mark.on_both_databases

TUTORS, SESSIONS, FEEDBACK = QueueChannels.TUTORS, QueueChannels.SESSIONS, QueueChannels.FEEDBACK
RATES = ["no_show_rate", "cancellation_rate", "rating_mean", "rating_shrunken"]
SHARES = ["positive_share", "neutral_share", "negative_share"]

Figures = dict[str, dict[str, Any]]
Know = Callable[..., Figures]


@pytest.fixture
def know(publisher: MessagePublisher, drained: Drain, store: Store) -> Know:
    """Publish and drain sessions, feedback and tutors; the figures by tutor."""

    def figures(
        sessions: list[dict[str, Any]] | None = None,
        feedback: list[dict[str, Any]] | None = None,
        tutors: tuple[str, ...] = (),
    ) -> Figures:
        for n, one in enumerate(sessions or []):
            publisher.publish_session_data({"session_id": f"S{n}", "tutor_id": "T", **one})
        for n, one in enumerate(feedback or []):
            publisher.publish_feedback({"feedback_id": f"F{n}", "tutor_id": "T", "rating": 4, **one})
        for one in tutors:
            publisher.publish_tutor_data({"tutor_id": one, "name": "x"})
        for channel in QueueChannels.all():
            drained(channel)
        assert refresh_performance(store)
        return table(store)

    return figures


def table(store: Store) -> Figures:
    return {row.tutor_id: dict(row._mapping) for row in store.read(select(tutor_performance))}


def test_every_tutor_has_a_row_that_any_table_names(know: Know) -> None:
    assert set(know([{"tutor_id": "A"}], [{"tutor_id": "B"}], ("C", "A"))) == {"A", "B", "C"}


def test_where_nothing_is_known_figures_are_empty_and_counts_are_zero(know: Know) -> None:
    row = know(tutors=("T",))["T"]
    assert [row[name] for name in [*RATES, *SHARES, "hours", "last_session_at"]] == [None] * 9
    counts = ["sessions_held", "no_shows", "cancellations", "rating_count", "sentiment_count"]
    assert [row[name] for name in counts] == [0] * 5


def test_no_tutor_at_all_is_an_empty_table(know: Know, store: Store) -> None:
    assert know() == {}
    totals = performance_totals(store)
    assert (totals.tutors, totals.sessions_held, totals.rating_count) == (0, 0, 0)
    assert (totals.hours, totals.no_show_rate, totals.rating_mean) == (None, None, None)


def test_rates_are_over_the_sessions_that_came_to_an_end(know: Know) -> None:
    statuses = ["completed"] * 3 + ["no_show"] + ["cancelled"] * 4 + ["scheduled"] * 9
    row = know([{"status": status} for status in statuses])["T"]
    assert (row["sessions_held"], row["no_shows"], row["cancellations"]) == (3, 1, 4)
    assert (row["no_show_rate"], row["cancellation_rate"]) == (0.25, 0.5)


def test_a_session_without_a_status_was_held_if_it_ended(know: Know) -> None:
    row = know([{"ended_at": "2026-11-07T21:00:00Z"}, {"started_at": "2026-11-07T20:00:00Z"}])["T"]
    assert row["sessions_held"] == 1


def test_hours_are_the_given_length_else_from_start_to_end(know: Know) -> None:
    start, end = {"started_at": "2026-11-07T20:00:00+01:00"}, {"ended_at": "2026-11-07T20:30:00Z"}
    lengths = [
        {"duration_minutes": 30},
        {"duration_minutes": 15, **start, **end},
        {**start, **end},
        {"started_at": "2026-11-07T21:00:00Z", **end},
        start,
        {},
    ]
    row = know([{"status": "completed", **one} for one in lengths])["T"]
    assert row["hours"] == pytest.approx(0.5 + 0.25 + 1.5)
    assert row["sessions_held"] == len(lengths)


def test_hours_of_sessions_that_were_not_held_do_not_count(know: Know) -> None:
    assert know([{"status": "no_show", "duration_minutes": 60}])["T"]["hours"] is None


def test_the_last_session_is_the_last_one_held(know: Know) -> None:
    def at(hour: int, **session: object) -> dict[str, object]:
        return {"status": "completed", "started_at": f"2026-11-07T{hour:02}:00:00Z", **session}

    planned = {"started_at": None, "scheduled_start": "2026-11-07T11:00:00Z"}
    row = know([at(9), at(0, **planned), at(10), at(20, status="no_show")])["T"]
    assert row["last_session_at"] == datetime(2026, 11, 7, 11, tzinfo=UTC)


def test_one_best_rating_does_not_win(know: Know) -> None:
    once = [{"tutor_id": "once", "rating": 5}]
    proven = [{"tutor_id": "proven", "rating": 4.8}] * 100
    others = [{"tutor_id": "others", "rating": 3}] * 100
    rows = know(feedback=once + proven + others)
    assert rows["once"]["rating_mean"] > rows["proven"]["rating_mean"]
    assert rows["others"]["rating_shrunken"] < rows["once"]["rating_shrunken"]
    assert rows["once"]["rating_shrunken"] < rows["proven"]["rating_shrunken"]
    mean = (5 + 480 + 300) / 201
    assert rows["once"]["rating_shrunken"] == pytest.approx((5 + PRIOR_RATINGS * mean) / (1 + PRIOR_RATINGS))


def test_sentiments_are_shares_of_those_known(know: Know) -> None:
    moods = ["positive", "positive", "negative", "neutral", None]
    row = know(feedback=[{"sentiment": mood} for mood in moods])["T"]
    assert (row["sentiment_count"], row["rating_count"]) == (4, 5)
    assert [row[name] for name in SHARES] == [0.5, 0.25, 0.25]


def test_the_totals_count_every_tutor_once(know: Know, store: Store) -> None:
    know(
        [{"status": "completed", "duration_minutes": 60}, {"tutor_id": "B", "status": "no_show"}],
        [{"rating": 5}, {"rating": 2}, {"tutor_id": "B", "rating": 2}],
        ("C",),
    )
    totals = performance_totals(store)
    assert (totals.tutors, totals.rated_tutors, totals.rating_count) == (3, 2, 3)
    assert (totals.sessions_held, totals.hours, totals.no_show_rate) == (1, 1, 0.5)
    assert totals.rating_mean == pytest.approx(3)
    assert sorted(values(store, "rating_mean")) == [2, 3.5]


def test_a_refresh_forgets_what_is_no_longer_there(know: Know, store: Store) -> None:
    know(tutors=("A",))
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM tutors")
    assert refresh_performance(store)
    assert table(store) == {}


def test_a_refresh_that_looked_earlier_does_not_undo_one_that_looked_later(know: Know, store: Store) -> None:
    know(tutors=("A",))
    later = datetime.now(UTC) + timedelta(minutes=1)
    with store.engine.begin() as connection:
        connection.execute(update(tutor_performance).values(calculated_at=later))
    assert not refresh_performance(store)
    assert table(store)["A"]["calculated_at"] == later


def test_a_refresh_of_a_future_that_no_clock_explains_is_undone(know: Know, store: Store) -> None:
    know(tutors=("A",))
    with store.engine.begin() as connection:
        connection.execute(update(tutor_performance).values(calculated_at=datetime(2099, 1, 1, tzinfo=UTC)))
    assert refresh_performance(store)
    assert table(store)["A"]["calculated_at"].year < 2099


def test_a_refresh_that_may_not_write_leaves_the_table_as_it_was(
    know: Know, store: Store, store_url: str
) -> None:
    before = know(tutors=("A",))
    with Store.open(store_url, timeout_seconds=0.2) as impatient:
        with (
            store.engine.execution_options(purpose=Purpose.ALONE).begin(),
            pytest.raises(StoreUnavailableError, match=r"locked|lock timeout|statement timeout"),
        ):
            refresh_performance(impatient)
        assert table(store) == before
        assert refresh_performance(impatient)


def test_an_unknown_figure_is_refused(store: Store) -> None:
    with pytest.raises(KeyError):
        next(iter(values(store, "name")))


def test_a_length_is_asked_for_in_the_words_of_postgresql_too() -> None:
    columns = tutor_performance.c
    length = MinutesBetween(columns.last_session_at, columns.calculated_at)
    words = str(length.compile(dialect=postgresql.dialect()))
    assert words == (
        "(EXTRACT(EPOCH FROM tutor_performance.calculated_at - tutor_performance.last_session_at) / 60.0)"
    )


def test_a_store_without_the_table_says_so_in_one_line(store: Store) -> None:
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE tutor_performance")
    with pytest.raises(StoreError) as caught:
        refresh_performance(store)
    assert "\n" not in str(caught.value)
