"""The services of compose.yaml, run by their own commands, drain the sample into PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen

import orjson
import psycopg
import pytest

from queue_core import MessagePublisher, QueueChannels, RedisClient, RedisSettings
from queue_core.channels import CONSUMER_GROUP
from tests.conftest import REDIS_SERVER, patiently
from tests.deploy.compose_file import raw, read
from tests.deploy.dockerfile_steps import Image
from tests.deploy.local_services import LocalServices
from tests.deploy.manifests import pods
from tutormax_pipeline.sample import sample_lines

pytestmark = [pytest.mark.long, pytest.mark.needs_redis_server, pytest.mark.timeout(300)]
_RUNS = "query { runsOrError { ... on Runs { results { jobName status } } } }"


@pytest.fixture(scope="module")
def services(
    image: Image, secrets: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalServices]:
    """All of them, started in the order of their conditions."""
    if not REDIS_SERVER.exists():
        pytest.skip("redis-server is not installed (Debian package redis-server)")
    composed = read(secrets)["services"]
    with LocalServices(tmp_path_factory.mktemp("compose"), image, composed) as running:
        running.start("redis")
        running.start("broker")
        running.start("postgres")
        running.wait_for_health("redis", "broker", "postgres")
        running.start("migrate")
        assert running.processes.pop("migrate").wait(60) == 0
        running.start("code")
        running.start("worker")
        running.start("metrics")
        running.wait_for_health("code")
        running.start("webserver")
        running.start("daemon")
        running.wait_for_health("webserver", "daemon", "metrics", "worker")
        yield running


@pytest.fixture
def client(services: LocalServices, secrets: dict[str, str]) -> Iterator[RedisClient]:
    """As a producer on the host connects, by the published port."""
    port = int(services.ports["redis"])
    settings = RedisSettings.load(host="127.0.0.1", port=port, password=secrets["REDIS_PASSWORD"])
    with RedisClient(settings) as client:
        yield client


def ask(services: LocalServices, query: str) -> Any:
    body = orjson.dumps({"query": query})
    address = f"http://127.0.0.1:{services.ports['webserver']}/graphql"
    with urlopen(Request(address, body, {"Content-Type": "application/json"}), timeout=30) as answer:
        return orjson.loads(answer.read())["data"]


def test_what_a_producer_publishes_is_drained_into_postgresql_and_the_books_balance(
    services: LocalServices, client: RedisClient, secrets: dict[str, str]
) -> None:
    publisher = MessagePublisher(client)
    published = {
        channel.name: publisher.publish_batch(channel, map(orjson.loads, sample_lines(channel))).published
        for channel in QueueChannels.all()
    }
    assert sum(published.values()) == 1_020
    tables = (
        f"postgresql://tutormax:{secrets['TUTORMAX_POSTGRES_PASSWORD']}@127.0.0.1:"
        f"{services.ports['postgres']}/tutormax"
    )
    with psycopg.connect(tables, autocommit=True) as connection:

        def rows() -> dict[str, int]:
            count = "SELECT count(*) FROM {}"
            found = {name: connection.execute(count.format(name).encode()).fetchone() for name in published}
            return {name: row[0] for name, row in found.items() if row}

        patiently(lambda: rows() == published, what="the sample's rows")
    examined = services.run("code", "tutormax", "doctor", "--json")
    found = orjson.loads(examined.stdout)
    assert found["balanced"], found
    assert [one for one in found["findings"] if one["severity"] == "error"] == []


def test_each_role_opens_its_own_database_and_no_other(
    services: LocalServices, secrets: dict[str, str]
) -> None:
    passwords = {"dagster": "DAGSTER_POSTGRES_PASSWORD", "tutormax": "TUTORMAX_POSTGRES_PASSWORD"}
    for role, name in passwords.items():
        for database in (*passwords, "postgres"):
            address = {"host": "127.0.0.1", "port": services.ports["postgres"], "dbname": database}
            if role == database:
                psycopg.connect(**address, user=role, password=secrets[name]).close()
                with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                    psycopg.connect(**address, user=role, password="wrong")
            else:
                with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                    psycopg.connect(**address, user=role, password=secrets[name])


def test_when_the_code_server_is_stopped_its_drains_give_back_what_they_hold_and_end(
    services: LocalServices, client: RedisClient
) -> None:
    def runs() -> set[str]:
        return {run["status"] for run in ask(services, _RUNS)["runsOrError"]["results"]}

    def consumers() -> list[object]:
        streams = [client.keys.stream(channel) for channel in QueueChannels.all()]
        return [one for name in streams for one in client.redis.xinfo_consumers(name, CONSUMER_GROUP)]

    patiently(lambda: "STARTED" in runs(), what="a drain that lingers")
    assert consumers()
    assert services.stop("code") == 0
    assert consumers() == []
    assert runs() <= {"SUCCESS", "FAILURE", "CANCELED"}


def test_dumps_of_both_databases_are_restored_over_them(services: LocalServices) -> None:
    def in_container(command: str) -> str:
        where = f"PGHOST={services.folder} PGPORT={services.ports['postgres']}"
        done = services.run("postgres", "/bin/sh", "-ec", f"export {where}\n{command}")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def count(database: str, table: str) -> str:
        query = f"--tuples-only --command 'SELECT count(*) FROM {table}'"
        return in_container(f"psql --username postgres --dbname {database} {query}")

    kept = {"tutormax": "tutors", "dagster": "runs"}
    before = {database: count(database, table) for database, table in kept.items()}
    assert "0" not in before.values()
    for database in kept:
        dump = f"{services.folder}/{database}.dump"
        in_container(f"pg_dump --username postgres --format custom {database} > {dump}")
    for name in ("daemon", "worker"):
        services.stop(name)
    for database, table in kept.items():
        empty = f"TRUNCATE {table} CASCADE"
        in_container(f"psql --username postgres --dbname {database} --command '{empty}'")
        restore = f"pg_restore --username postgres --dbname {database} --clean --if-exists"
        in_container(f"{restore} < {services.folder}/{database}.dump")
    assert {database: count(database, table) for database, table in kept.items()} == before


def test_a_redis_that_answers_anything_is_alive_in_the_cluster_and_ready_only_when_it_serves(
    services: LocalServices,
) -> None:
    container = pods("single")["redis"]["containers"][0]
    password = "$(cat /run/secrets/tutormax/redis_password)"

    def asked(probe: str, given: str) -> int:
        command = container[probe]["exec"]["command"][-1]
        assert password in command
        return services.run("redis", "/bin/sh", "-c", command.replace(password, given)).returncode

    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert asked(probe, "$REDIS_PASSWORD") == 0
    # An error is an answer, as LOADING and MISCONF are.
    assert [asked(probe, "wrong") for probe in ("startupProbe", "livenessProbe")] == [0, 0]
    assert asked("readinessProbe", "wrong") == 1


def test_a_postgresql_without_its_databases_is_not_healthy(services: LocalServices) -> None:
    check = str(raw()["services"]["postgres"]["healthcheck"]["test"][-1]).replace("$$", "$")
    elsewhere = check.replace("--dbname tutormax", "--dbname nothing-of-the-kind")
    assert services.run("postgres", "/bin/sh", "-c", check).returncode == 0
    done = services.run("postgres", "/bin/sh", "-c", elsewhere)
    assert done.returncode != 0
    assert "does not exist" in done.stderr or "permission denied" in done.stderr


def test_no_health_check_succeeds_without_its_service(services: LocalServices) -> None:
    for name in ("webserver", "redis", "broker", "postgres"):
        assert services.check(name).returncode == 0
        services.stop(name)
    # The worker's asks the broker, which is gone now. The daemon's asks PostgreSQL, again and again for 14 s:
    # it fails too, and is left out for its time.
    for name in ("webserver", "redis", "broker", "postgres", "code", "worker"):
        assert services.check(name).returncode != 0, name
