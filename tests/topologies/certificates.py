"""Certificates made for the tests: good ones, and each kind of bad one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


class Pair:
    """A certificate and its key, in files.

    Attributes:
        certfile: path of the certificate.
        keyfile: path of its key.
    """

    def __init__(self, folder: Path, name: str, leaf: trustme.LeafCert) -> None:
        self.certfile, self.keyfile = folder / f"{name}.pem", folder / f"{name}.key"
        for number, blob in enumerate(leaf.cert_chain_pems):
            blob.write_to_path(self.certfile, append=number > 0)
        leaf.private_key_pem.write_to_path(self.keyfile)


class Certificates:
    """An authority, another one that nobody trusts, and what they signed."""

    def __init__(self, folder: Path) -> None:
        self.authority, self.other_authority = trustme.CA(), trustme.CA()
        self.ca, self.other_ca = folder / "ca.pem", folder / "other-ca.pem"
        self.authority.cert_pem.write_to_path(self.ca)
        self.other_authority.cert_pem.write_to_path(self.other_ca)
        yesterday = datetime.now(UTC) - timedelta(days=1)
        issue = self.authority.issue_cert
        self.server = Pair(folder, "server", issue("127.0.0.1", "localhost"))
        self.expired = Pair(folder, "expired", issue("127.0.0.1", not_after=yesterday))
        self.of_another_name = Pair(folder, "another-name", issue("queue.example"))
        self.client = Pair(folder, "client", issue("client.example"))
        self.expired_client = Pair(folder, "expired-client", issue("client.example", not_after=yesterday))
        self.unknown_client = Pair(
            folder, "unknown-client", self.other_authority.issue_cert("client.example")
        )
