"""TLS and mutual TLS: what goes wrong is said in one line that names the variable to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from queue_core import RedisClient, RedisSettings
from queue_core.embedded import EmbeddedServer
from queue_core.errors import ConfigurationError
from tests.conftest import server_binary, wait_until
from tests.topologies.certificates import Certificates, Pair
from tests.topologies.processes import SECONDS, Processes, free_port
from tests.topologies.tls import TLSServer
from tutormax_pipeline.cli import main

pytestmark = pytest.mark.needs_redis_server

#: Runs ``tutormax status`` with these variables; gives what it says of its failure.
Complaint = Callable[..., str]


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Callable[[str], TLSServer]]:
    """A server by the name of its certificate, which takes clients without one; started when asked for."""
    started: dict[str, TLSServer] = {}
    with Processes(server_binary("redis")) as processes:

        def get(name: str) -> TLSServer:
            if name not in started:
                pair: Pair = getattr(certificates, name)
                folder = tmp_path_factory.mktemp(name)
                started[name] = TLSServer(processes, folder, certificates, pair=pair, mutual=False)
            return started[name]

        yield get


@pytest.fixture
def complaint(tls_server: TLSServer, certificates: Certificates, tmp_path: Path) -> Complaint:
    good = {
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(tls_server.process.port),
        "REDIS_SSL": "true",
        "REDIS_SSL_CA_CERTS": str(certificates.ca),
        "REDIS_SSL_CERTFILE": str(certificates.client.certfile),
        "REDIS_SSL_KEYFILE": str(certificates.client.keyfile),
        "REDIS_PASSWORD": "",
        "TUTORMAX_HOME": str(tmp_path / "home"),
    }

    def run(**changes: object) -> str:
        variables = good | {name: str(value) for name, value in changes.items()}
        result = CliRunner().invoke(main, ["status"], env=variables, catch_exceptions=False)
        if result.exit_code == 0:
            return ""
        (line,) = result.stderr.splitlines()
        assert result.stdout == ""
        assert "hunter2" not in line
        assert "BEGIN" not in line
        return line

    return run


def test_with_the_right_files_there_is_nothing_to_complain_about(complaint: Complaint) -> None:
    assert complaint() == ""


@pytest.mark.parametrize(
    ("certificate", "changes", "cause", "remedy"),
    [
        ("expired", {}, "certificate has expired", "Renew the server's certificate"),
        ("of_another_name", {}, "not valid for '127.0.0.1'", "REDIS_HOST"),
        ("of_another_name", {"REDIS_SSL_CHECK_HOSTNAME": "false"}, "", ""),
        ("server", {"REDIS_SSL_CA_CERTS": "other"}, "CERTIFICATE_VERIFY_FAILED", "check REDIS_SSL_CA_CERTS"),
        ("server", {"REDIS_SSL_CA_CERTS": ""}, "CERTIFICATE_VERIFY_FAILED", "check REDIS_SSL_CA_CERTS"),
        ("server", {"REDIS_SSL": "false"}, "not available", "set REDIS_SSL=true"),
        ("server", {"REDIS_PASSWORD": "hunter2"}, "AUTH", "Check REDIS_USERNAME and REDIS_PASSWORD"),
        ("server", {}, "", ""),
    ],
)
def test_a_server_that_is_not_trusted(
    servers: Callable[[str], TLSServer],
    certificates: Certificates,
    complaint: Complaint,
    certificate: str,
    changes: dict[str, str],
    cause: str,
    remedy: str,
) -> None:
    if changes.get("REDIS_SSL_CA_CERTS") == "other":
        changes = {"REDIS_SSL_CA_CERTS": str(certificates.other_ca)}
    line = complaint(REDIS_PORT=servers(certificate).process.port, **changes)
    assert cause in line
    assert remedy in line


@pytest.mark.parametrize(
    ("client", "remedy"),
    [
        ("none", "REDIS_SSL_CERTFILE"),
        ("expired_client", "REDIS_SSL_CERTFILE"),
        ("unknown_client", "REDIS_SSL_CERTFILE"),
    ],
)
def test_a_client_that_is_not_trusted(
    certificates: Certificates, complaint: Complaint, client: str, remedy: str
) -> None:
    pair = getattr(certificates, client, None)
    files = {
        "REDIS_SSL_CERTFILE": pair.certfile if pair else "",
        "REDIS_SSL_KEYFILE": pair.keyfile if pair else "",
    }
    assert remedy in complaint(**files)


def test_a_server_that_speaks_no_tls(valkey: EmbeddedServer, complaint: Complaint) -> None:
    line = complaint(REDIS_PORT=valkey.port, REDIS_SOCKET_TIMEOUT=0.5)
    assert "If it speaks no TLS there, set REDIS_SSL=false" in line


def test_sentinels_speak_tls_too(
    tls_server: TLSServer, certificates: Certificates, complaint: Complaint, tmp_path: Path
) -> None:
    monitored = f"sentinel monitor mymaster 127.0.0.1 {tls_server.process.port} 1"
    with Processes(server_binary("redis")) as processes:
        lines = [*tls_server.lines, monitored]
        sentinel = processes.start(tmp_path / "sentinel", lines, sentinel=True, tls=True)
        address = {"REDIS_SENTINELS": sentinel.address, "REDIS_HOST": "", "REDIS_PORT": ""}
        assert complaint(**address) == ""
        line = complaint(**address, REDIS_SSL_CA_CERTS=certificates.other_ca)
        assert "CERTIFICATE_VERIFY_FAILED" in line
        assert "check REDIS_SSL_CA_CERTS" in line


def test_a_cluster_speaks_tls_too(certificates: Certificates, complaint: Complaint, tmp_path: Path) -> None:
    more = ["cluster-enabled yes", f"cluster-port {free_port()}"]
    with Processes(server_binary("redis")) as processes:
        server = TLSServer(processes, tmp_path, certificates, more=more)
        with RedisClient(server.settings()) as plain:
            plain.redis.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        address = {"REDIS_PORT": server.process.port, "REDIS_CLUSTER": "true"}
        wait_until(lambda: complaint(**address) == "", SECONDS, "the Cluster")


def test_files_that_cannot_be_used_stop_at_start(
    certificates: Certificates, complaint: Complaint, tmp_path: Path
) -> None:
    junk, locked = tmp_path / "junk.pem", tmp_path / "locked.key"
    junk.write_text("no certificate, but hunter2")
    key = load_pem_private_key(certificates.client.keyfile.read_bytes(), None)
    locked.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"hunter2"))
    )
    gone, folder = tmp_path / "gone.pem", tmp_path
    for changes, words in [
        ({"REDIS_SSL_CA_CERTS": gone}, f"REDIS_SSL_CA_CERTS: {gone} cannot be read: No such file"),
        ({"REDIS_SSL_CA_CERTS": junk}, f"REDIS_SSL_CA_CERTS: {junk} holds no certificate"),
        ({"REDIS_SSL_CERTFILE": folder}, f"REDIS_SSL_CERTFILE: {folder} cannot be read: Is a directory"),
        ({"REDIS_SSL_CERTFILE": junk}, "REDIS_SSL_CERTFILE"),
        ({"REDIS_SSL_CERTFILE": ""}, "REDIS_SSL_CERTFILE: is missing"),
        ({"REDIS_SSL_KEYFILE": gone}, f"REDIS_SSL_KEYFILE: {gone} cannot be read"),
        ({"REDIS_SSL_KEYFILE": certificates.server.keyfile}, "is not the key of"),
        ({"REDIS_SSL_KEYFILE": locked}, "locked by a passphrase"),
    ]:
        line = complaint(**changes)
        assert words in line
        assert "not available" not in line


def test_the_files_serve_an_address_given_as_url_too(
    tls_server: TLSServer, certificates: Certificates, tmp_path: Path
) -> None:
    files = {
        name: getattr(tls_server.settings(), name) for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
    }
    url = f"rediss://127.0.0.1:{tls_server.process.port}/0"
    with RedisClient(RedisSettings.load(url=url, **files)) as client:
        assert client.health_check()
    with pytest.raises(ConfigurationError, match="REDIS_SSL_CA_CERTS"):
        RedisClient(RedisSettings.load(url=f"{url}?ssl_ca_certs={tmp_path}/gone", **files))
