"""PostgreSQL that goes away, comes back, refuses to work or says nothing: no message's fault, in one line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import func, select

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.outcomes import Outcome
from tests.chaos.tcp_proxy import Direction, TcpProxy
from tests.conftest import wait_until
from tests.pipeline.conftest import assert_books_balance, deliveries, ledger, publish
from tests.pipeline.test_drain_trouble import at_turn
from tests.pipeline.test_outages import later
from tests.postgres import PASSWORD, PostgresServer
from tutormax_pipeline.drain import DrainLimits, DrainReport, drain
from tutormax_pipeline.store import Arrival, Settlement, Store, StoreError, StoreUnavailableError

TUTORS = QueueChannels.TUTORS
MESSAGES = 200
Make = Callable[..., Arrival]


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[TcpProxy]:
    with TcpProxy(postgres.port) as proxy:
        yield proxy


@pytest.fixture
def proxied(postgres: PostgresServer, postgres_url: str, proxy: TcpProxy) -> Iterator[Store]:
    """A store whose connections go through the proxy."""
    name = psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]
    with Store.open(postgres.tcp_url(str(name), port=proxy.port)) as store:
        yield store


@pytest.fixture
def direct(postgres_url: str) -> Iterator[Store]:
    """The same store, by a way of one's own."""
    with Store.open(postgres_url) as store:
        yield store


def drain_through(client: RedisClient, store: Store, trouble: Callable[[], object]) -> DrainReport:
    """Drain all messages; after the third batch the trouble begins."""
    publish(MessagePublisher(client), MESSAGES)
    limits = DrainLimits(batch_size=20, outage_seconds=60)
    return drain(MessageConsumer(client), store, TUTORS, run_id="r", limits=limits, stop=at_turn(4, trouble))


def assert_survived(report: DrainReport, client: RedisClient, store: Store) -> None:
    assert report.outcomes == {Outcome.STORED: MESSAGES}
    assert len(report.outages) == 1
    assert deliveries(store) == {1}
    assert store.row_count(TUTORS) == MESSAGES
    assert_books_balance(client, store)


def terminate_others(postgres: PostgresServer, store: Store) -> None:
    """What an administrator does to get rid of connections."""
    with psycopg.connect(postgres.url()) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            (store.engine.url.database,),
        )


def one_line(error: StoreError) -> str:
    words = str(error)
    assert "\n" not in words
    assert PASSWORD not in words
    assert words.partition("). ")[2], "what to do"
    return words


def test_a_drain_waits_for_a_server_that_cannot_be_reached(
    client: RedisClient, proxied: Store, direct: Store, proxy: TcpProxy
) -> None:
    def trouble() -> None:
        proxy.refuse()
        later(0.3, proxy.heal)

    assert_survived(drain_through(client, proxied, trouble), client, direct)


def test_a_drain_waits_for_a_database_that_became_read_only(
    postgres: PostgresServer, client: RedisClient, proxied: Store, direct: Store
) -> None:
    name = proxied.engine.url.database

    def trouble() -> None:
        # As a standby, after a failover.
        postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        proxied.engine.dispose()
        later(0.3, heal)

    def heal() -> None:
        postgres.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        terminate_others(postgres, proxied)

    assert_survived(drain_through(client, proxied, trouble), client, direct)


def test_a_connection_ended_between_two_batches_costs_nothing(
    postgres: PostgresServer, direct: Store, proxied: Store, arrival: Make
) -> None:
    proxied.write(TUTORS, [arrival("1-0", "a")], "run-1")
    with proxied.engine.connect() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    postgres.execute(f"SELECT pg_terminate_backend({pid}, 10000)")
    proxied.write(TUTORS, [arrival("2-0", "b", tutor_id="T2")], "run-1")
    assert direct.row_count(TUTORS) == 2


@pytest.mark.parametrize("lost", ["commands", "answers"])
def test_a_batch_whose_commit_or_its_answer_was_lost_may_be_written_again(
    proxied: Store,
    direct: Store,
    proxy: TcpProxy,
    arrival: Make,
    monkeypatch: pytest.MonkeyPatch,
    lost: Direction,
) -> None:
    batch = [arrival(f"{n}-0", f"m{n}", tutor_id=f"T{n}") for n in range(20)]

    def cut(place: str) -> None:
        if place == "commit:before":
            proxy.cut(1, lost)

    with monkeypatch.context() as patch:
        patch.setattr("tutormax_pipeline.store.store.passing", cut)
        with pytest.raises(StoreUnavailableError) as caught:
            proxied.write(TUTORS, batch, "run-1")
    one_line(caught.value)
    committed = lost == "answers"
    wait_until(lambda: direct.row_count(TUTORS) == 20 * committed, 30)
    again = proxied.write(TUTORS, batch, "run-2")
    assert {(one.outcome, one.repeated) for one in again} == {(Outcome.STORED, committed)}
    assert direct.row_count(TUTORS) == len(ledger(direct)) == 20


def test_a_server_that_says_nothing_is_given_up(
    proxied: Store, proxy: TcpProxy, arrival: Make, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tutormax_pipeline.store.postgres._GRACE_SECONDS", 0.1)
    with Store(str(proxied.engine.url.render_as_string(hide_password=False)), timeout_seconds=0.4) as store:
        store.write(TUTORS, [arrival("1-0", "a")], "run-1")
        proxy.stall()
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError, match=r"no answer|timeout expired") as caught:
            store.write(TUTORS, [arrival("2-0", "b", tutor_id="T2")], "run-1")
        one_line(caught.value)
        assert time.monotonic() - began < 20
        proxy.heal()
        store.write(TUTORS, [arrival("2-0", "b", tutor_id="T2")], "run-1")
        assert store.row_count(TUTORS) == 2


def test_the_server_looks_whether_our_hosts_are_still_there(proxied: Store) -> None:
    names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
    with proxied.engine.connect() as connection:
        in_force = [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names]
    assert in_force == ["10", "5", "3", "30000"]


def test_a_drain_that_sleeps_in_the_middle_of_a_batch_does_not_hold_up_the_others_for_ever(
    direct: Store, postgres_url: str, arrival: Make
) -> None:
    def sleep_in_the_middle() -> list[Settlement]:
        with sleeper.transaction("test") as connection:
            connection.exec_driver_sql(
                "INSERT INTO message_ledger (channel, entry_id, message_id, outcome, deliveries, run_id, "
                "recorded_at) VALUES ('tutors', '1-0', 'a', 'stored', 1, 'asleep', now())"
            )
            # Meanwhile another writes the same, and would wait for as long as this one sleeps.
            settled.extend(direct.write(TUTORS, [arrival("1-0", "a")], "run-2"))
        return settled

    settled: list[Settlement] = []
    with Store(postgres_url, timeout_seconds=0.3) as sleeper:
        with pytest.raises(StoreUnavailableError) as caught:
            sleep_in_the_middle()
        one_line(caught.value)
    assert [(one.outcome, one.repeated) for one in settled] == [(Outcome.STORED, False)]
    assert [outcome for *_, outcome, _ in ledger(direct)] == ["stored"]


@pytest.mark.parametrize(
    ("wrong", "words", "remedy"),
    [
        ({"password": "letmein"}, "password authentication failed", "Check the user and the password"),
        ({"database": "nowhere"}, "does not exist", "Make the database"),
        ({"port": 1}, "refused", "Check that it runs, and host and port"),
        ({"host": "nowhere.invalid"}, "nowhere.invalid", "Check that it runs, and host and port"),
        ({"database": "postgres?sslmode=sometimes"}, "invalid sslmode", "Correct what stands after ?"),
        ({"database": "postgres?nonsense=1"}, "invalid connection option", "Correct what stands after ?"),
    ],
    ids=["password", "database", "port", "host", "value", "option"],
)
def test_an_address_that_is_wrong_is_told_in_one_line(
    postgres: PostgresServer, wrong: dict[str, object], words: str, remedy: str
) -> None:
    url = postgres_url_with(postgres, **wrong)
    with pytest.raises(StoreError) as caught:
        Store.open(url, timeout_seconds=5)
    said = one_line(caught.value)
    assert words in said
    assert said.partition("). ")[2].startswith(remedy)
    assert "letmein" not in said


def postgres_url_with(server: PostgresServer, **wrong: object) -> str:
    parts = {"password": PASSWORD, "host": "127.0.0.1", "port": server.port, "database": "postgres", **wrong}
    return "postgresql://postgres:{password}@{host}:{port}/{database}".format(**parts)


def test_a_server_without_room_for_another_connection_is_unavailable(
    postgres: PostgresServer, direct: Store, postgres_url: str, arrival: Make
) -> None:
    name = direct.engine.url.database
    postgres.execute("CREATE ROLE guest LOGIN")
    postgres.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
    try:
        with pytest.raises(StoreUnavailableError, match="too many connections") as caught:
            Store.open(postgres_url.replace("postgres@", "guest@"))
        one_line(caught.value)
    finally:
        postgres.execute(f"ALTER DATABASE {name} CONNECTION LIMIT -1")
        postgres.execute("DROP ROLE guest")


def test_rights_that_are_missing_are_told_in_one_line_that_names_the_table(
    postgres: PostgresServer, postgres_url: str, arrival: Make
) -> None:
    postgres.execute("CREATE ROLE reader LOGIN")
    try:
        with Store(postgres_url.replace("postgres@", "reader@")) as store:
            with pytest.raises(StoreError, match=r"denied for table message_ledger.*GRANT") as caught:
                store.write(TUTORS, [arrival("1-0", "a", name="SECRET")], "run-1")
            assert "SECRET" not in str(caught.value)
    finally:
        postgres.execute("DROP ROLE reader")


def test_a_statement_that_takes_too_long_is_ended_by_the_server(postgres_url: str) -> None:
    with Store(postgres_url, timeout_seconds=0.2) as store:
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError, match=r"statement timeout.*TUTORMAX_STORE_TIMEOUT"):
            store.read(select(func.pg_sleep(60)))
        assert time.monotonic() - began < 20


def test_a_server_that_is_killed_in_the_middle_comes_back_with_everything_it_acknowledged(
    client: RedisClient,
) -> None:
    with PostgresServer(durable=True) as server, Store.open(server.url()) as store:

        def trouble() -> None:
            server.kill()
            later(0.2, server.start)

        assert_survived(drain_through(client, store, trouble), client, store)
