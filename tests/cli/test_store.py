"""``tutormax store``: how the tables stand to this code, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.cli.conftest import Command
from tests.postgres import PASSWORD, PostgresServer
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.schema import HEAD


@pytest.fixture(params=["sqlite", "postgresql"])
def run(request: pytest.FixtureRequest, tutormax: Command) -> Callable[..., tuple[int, str]]:
    """Run a subcommand on a new database; gives its exit code and its words."""
    url = (
        f"sqlite:///{request.getfixturevalue('tmp_path')}/new.db"
        if request.param == "sqlite"
        else request.getfixturevalue("own_postgres_url")
    )

    def command(name: str, revision: str | None = None) -> tuple[int, str]:
        if revision is not None:
            with Store(url) as store, store.engine.begin() as connection:
                connection.execute(text("UPDATE alembic_version SET version_num = :name"), {"name": revision})
        done = tutormax("store", name, TUTORMAX_STORE_URL=url)
        return done.returncode, done.stdout + done.stderr

    return command


def test_a_new_database_is_behind_until_it_is_upgraded(run: Callable[..., tuple[int, str]]) -> None:
    code, words = run("check")
    assert code == 1
    assert "no tables yet" in words
    assert "tutormax store upgrade" in words
    assert run("check") == (code, words), "a check changes nothing"
    code, words = run("upgrade")
    assert code == 0
    assert f"upgraded to revision {HEAD}" in words
    code, words = run("upgrade")
    assert code == 0
    assert f"up to date at revision {HEAD}" in words
    assert run("check")[0] == 0


def test_tables_of_an_older_revision_are_behind(run: Callable[..., tuple[int, str]]) -> None:
    run("upgrade")
    code, words = run("check", revision="0003")
    assert code == 1
    assert "revision 0003" in words


def test_tables_of_newer_code_are_refused_in_one_line(run: Callable[..., tuple[int, str]]) -> None:
    run("upgrade")
    code, words = run("check", revision="9999")
    assert code == 3
    assert "made by newer code (revision 9999" in words
    assert words.count("\n") == 1
    code, words = run("upgrade")
    assert code == 1
    assert "made by a newer version" in words
    assert words.count("\n") == 1
    assert run("check")[0] == 3, "a refused upgrade changes nothing"


@pytest.mark.parametrize(
    "how",
    [
        ["DROP TABLE alembic_version"],
        ["DELETE FROM alembic_version"],
        ["DROP TABLE message_ledger", "UPDATE alembic_version SET version_num = 'c0ffee'"],
    ],
    ids=["others' tables", "emptied", "others' revision"],
)
def test_tables_that_are_not_ours_or_lost_their_revision_are_left_alone(
    tutormax: Command, tmp_path: Path, how: list[str]
) -> None:
    url = f"sqlite:///{tmp_path}/others.db"
    with Store.open(url) as store, store.engine.begin() as connection:
        for statement in how:
            connection.execute(text(statement))
    for command, code in (("check", 4), ("upgrade", 1), ("check", 4)):
        done = tutormax("store", command, TUTORMAX_STORE_URL=url)
        said = done.stdout + done.stderr
        assert (done.returncode, said.count("\n")) == (code, 1)
        assert "not this pipeline's" in said
        assert "store upgrade" not in said


def test_what_cannot_be_looked_at_has_an_exit_code_of_its_own(tutormax: Command) -> None:
    url = "postgresql://tutormax:hunter2@127.0.0.1:1/tutormax"
    done = tutormax("store", "check", TUTORMAX_STORE_URL=url)
    assert done.returncode == 2
    assert "TUTORMAX_STORE_URL" in done.stderr
    assert "hunter2" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_command_shows_the_password(
    tutormax: Command, postgres: PostgresServer, postgres_database: str
) -> None:
    url = postgres.tcp_url(postgres_database)
    for arguments in (["store", "check"], ["store", "upgrade"], ["status"], ["doctor"]):
        done = tutormax(*arguments, TUTORMAX_STORE_URL=url)
        assert PASSWORD not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
