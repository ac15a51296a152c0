"""A server that speaks TLS and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

from queue_core import RedisSettings
from tests.topologies.certificates import Certificates, Pair
from tests.topologies.processes import Processes


class TLSServer:
    """One server with a certificate.

    Args:
        processes: starts it.
        folder: for its data.
        certificates: those to choose from.
        pair: its own; the good one when not given.
        mutual: whether it wants a certificate of its clients too.
        more: lines of its configuration.
    """

    def __init__(
        self,
        processes: Processes,
        folder: Path,
        certificates: Certificates,
        *,
        pair: Pair | None = None,
        mutual: bool = True,
        more: Iterable[str] = (),
    ) -> None:
        own = pair or certificates.server
        self._certificates = certificates
        #: Of its configuration; a Sentinel's needs the same.
        self.lines = [
            f"tls-cert-file {own.certfile}",
            f"tls-key-file {own.keyfile}",
            f"tls-ca-cert-file {certificates.ca}",
            f"tls-auth-clients {'yes' if mutual else 'no'}",
            "tls-replication yes",
            "tls-cluster yes",
        ]
        lines = [*self.lines, "appendonly yes", 'save ""', *more]
        self.process = processes.start(folder / "server", lines, tls=True)

    def settings(self, **values: object) -> RedisSettings:
        """Settings with all that is needed, and a key prefix of their own."""
        options: dict[str, object] = {
            "host": "127.0.0.1",
            "port": self.process.port,
            "ssl": True,
            "ssl_ca_certs": str(self._certificates.ca),
            "ssl_certfile": str(self._certificates.client.certfile),
            "ssl_keyfile": str(self._certificates.client.keyfile),
            "key_prefix": f"test-{uuid4().hex[:12]}",
        }
        return RedisSettings.load(**(options | values))
