"""The archive of letters: whole, once for each letter and action, withdrawn only by whoever signed."""

from __future__ import annotations

import traceback
from base64 import b64decode
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from queue_core.failpoints import recorded
from queue_core.letter import DeadLetter, read_letter
from queue_core.letter_archive import ArchiveAction
from tests.pipeline.refusing import refusing
from tutormax_pipeline.store import Store, StoreError, StoreUnavailableError
from tutormax_pipeline.store.archive import StoreArchive
from tutormax_pipeline.store.database import Purpose
from tutormax_pipeline.store.tables import letter_archive

pytestmark = pytest.mark.on_both_databases

EDITED, DISCARDED = ArchiveAction.EDITED, ArchiveAction.DISCARDED
AT = datetime(2026, 11, 7, 21, tzinfo=UTC)
RAW = {
    b"message": b"\xff\x00",
    b"channel": b"tutors",
    b"entry_id": b"7-0",
    b"message_id": b"m-1",
    b"reason": b"invalid",
    b"errors": b'["rating: bad"]',
    b"failed_at": AT.isoformat().encode(),
    b"deliveries": b"3",
    b"attempts": b"[]",
    b"field:trace\xff": b"\x80",
}


@pytest.fixture
def archive(store: Store) -> StoreArchive:
    return StoreArchive(store)


def letters(*ids: str) -> list[DeadLetter]:
    return [read_letter(letter_id, RAW) for letter_id in ids]


def signed(archive: StoreArchive) -> dict[tuple[str, str], str]:
    return {(one.letter_id, one.action.value): one.signature.who for one in archive.letters()}


def test_a_letter_is_kept_with_everything_it_says(store: Store, archive: StoreArchive) -> None:
    before = datetime.now(UTC)
    archive.keep(letters("5-1"), DISCARDED, who="ann", why="old")
    with store.engine.connect() as connection:
        (row,) = connection.execute(select(letter_archive)).mappings()
    assert before <= row["archived_at"] <= datetime.now(UTC)
    fields = {b64decode(name): b64decode(value) for name, value in row["fields"]}
    assert fields == {b"deliveries": b"3", b"attempts": b"[]", b"field:trace\xff": b"\x80"}
    assert {name: value for name, value in row.items() if name not in ("archived_at", "fields")} == {
        "letter_id": "5-1",
        "action": "discarded",
        "channel": "tutors",
        "entry_id": "7-0",
        "message_id": "m-1",
        "reason": "invalid",
        "errors": ["rating: bad"],
        "body": b"\xff\x00",
        "failed_at": AT,
        "who": "ann",
        "why": "old",
    }


def test_a_letter_without_a_message_has_no_body_and_an_empty_one_has_an_empty_one(
    archive: StoreArchive,
) -> None:
    found = [read_letter("1-0", {}), read_letter("2-0", {b"message": b""})]
    archive.keep(found, DISCARDED, who="ann", why="w")
    assert {one.letter_id: one.body for one in archive.letters()} == {"1-0": None, "2-0": b""}


def test_keeping_again_signs_anew_and_keeps_one(archive: StoreArchive) -> None:
    assert archive.keep(letters("1-0"), DISCARDED, who="ann", why="w").signed_before == {}
    again = archive.keep(letters("1-0", "2-0"), DISCARDED, who="bob", why="w")
    assert {one: by.who for one, by in again.signed_before.items()} == {"1-0": "ann"}
    archive.keep(letters("1-0"), EDITED, who="eve", why="w")
    assert signed(archive) == {
        ("1-0", "discarded"): "bob",
        ("2-0", "discarded"): "bob",
        ("1-0", "edited"): "eve",
    }


def test_withdrawing_takes_back_the_letters_named_and_no_other(archive: StoreArchive) -> None:
    archive.keep(letters("1-0"), EDITED, who="ann", why="w")
    receipt = archive.keep(letters("1-0", "2-0"), DISCARDED, who="ann", why="w")
    archive.withdraw(receipt, ["1-0"])
    archive.withdraw(receipt, [])
    assert signed(archive) == {("1-0", "edited"): "ann", ("2-0", "discarded"): "ann"}


def test_what_was_there_before_is_signed_as_it_was(archive: StoreArchive) -> None:
    archive.keep(letters("1-0"), DISCARDED, who="ann", why="first")
    (before,) = archive.letters()
    receipt = archive.keep(letters("1-0"), DISCARDED, who="bob", why="second")
    archive.withdraw(receipt, ["1-0"])
    assert archive.letters() == [before]


def test_what_somebody_signed_since_stays(archive: StoreArchive) -> None:
    first = archive.keep(letters("1-0"), DISCARDED, who="ann", why="w")
    second = archive.keep(letters("1-0"), DISCARDED, who="ann", why="w")
    archive.withdraw(first, ["1-0"])
    assert signed(archive) == {("1-0", "discarded"): "ann"}
    archive.keep(letters("1-0"), DISCARDED, who="eve", why="w")
    archive.withdraw(second, ["1-0"])
    assert signed(archive) == {("1-0", "discarded"): "eve"}


def test_the_newest_come_first_and_no_more_than_wanted(archive: StoreArchive) -> None:
    for number in range(3):
        archive.keep(letters(f"{number}-0"), DISCARDED, who="ann", why="w")
    assert [one.letter_id for one in archive.letters(limit=2)] == ["2-0", "1-0"]


def test_both_pass_failpoints_around_their_commit(archive: StoreArchive) -> None:
    with recorded() as places:
        archive.withdraw(archive.keep(letters("1-0"), DISCARDED, who="ann", why="w"), ["1-0"])
    assert places == ["archive:before", "archive:after", "withdraw:before", "withdraw:after"]


def test_a_database_that_is_away_keeps_nothing_and_says_so(store: Store) -> None:
    with (
        Store(str(store.engine.url), timeout_seconds=0.05) as impatient,
        store.engine.execution_options(purpose=Purpose.ALONE).begin(),
        pytest.raises(StoreUnavailableError, match="locked"),
    ):
        StoreArchive(impatient).keep(letters("1-0"), DISCARDED, who="ann", why="w")
    assert StoreArchive(store).letters() == []


def test_an_error_of_the_database_quotes_no_letter_and_neither_do_its_causes(
    store: Store, archive: StoreArchive
) -> None:
    with refusing(store, "letter_archive"), pytest.raises(StoreError) as caught:
        archive.keep(letters("1-0"), ArchiveAction.DISCARDED, who="w", why="MARKED")
    words = "".join(traceback.format_exception(caught.value))
    assert "refused a statement" in words
    # As a value; the source line that a traceback shows has it in double quotes.
    assert "'MARKED'" not in words
    assert ",MARKED," not in words
