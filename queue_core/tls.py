"""TLS: the files it needs, looked at before the first connection, and what its failures mean."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

from queue_core.errors import ConfigurationError

#: Settings that name a file, as redis-py calls them.
FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")

_NO_CERTIFICATE = "The server wants a certificate of ours: set REDIS_SSL_CERTFILE and REDIS_SSL_KEYFILE."
_REFUSED = "The server does not accept our certificate: check REDIS_SSL_CERTFILE and REDIS_SSL_KEYFILE."
_OTHER_NAME = (
    "The server's certificate is for another name: reach it by that one (REDIS_HOST or REDIS_URL), or set "
    "REDIS_SSL_CHECK_HOSTNAME=false where addresses change."
)
#: Part of a failure's words, and what to do. The first that fits counts.
_REMEDIES = (
    ("certificate has expired", "Renew the server's certificate, or the file of REDIS_SSL_CA_CERTS."),
    ("ostname mismatch", _OTHER_NAME),
    ("IP address mismatch", _OTHER_NAME),
    ("CERTIFICATE_VERIFY_FAILED", "The server's certificate is not trusted: check REDIS_SSL_CA_CERTS."),
    ("CERTIFICATE_REQUIRED", _NO_CERTIFICATE),
    ("HANDSHAKE_FAILURE", _NO_CERTIFICATE),
    ("CERTIFICATE_EXPIRED", "Our own certificate has expired: renew the file of REDIS_SSL_CERTFILE."),
    ("ALERT_UNKNOWN_CA", _REFUSED),
    ("BAD_CERTIFICATE", _REFUSED),
    ("DECRYPT_ERROR", _REFUSED),
    ("SSL", "Nothing there speaks our TLS: check REDIS_PORT, and REDIS_SSL or REDIS_URL."),
)


def remedy(words: str) -> str | None:
    """What to do about a failure of TLS; None where the words are of none."""
    return next((what for part, what in _REMEDIES if part in words), None)


def check_files(options: Mapping[str, object]) -> None:
    """Make sure that the files of TLS can be read and fit each other.

    Args:
        options: values by the names in :data:`FILES`; others are not looked at.

    Raises:
        ConfigurationError: one cannot be used; names its variable and path, and nothing that is in it.
    """
    ca, certificate, key = (str(options[name]) if options.get(name) else None for name in FILES)
    if key and not certificate:
        raise ConfigurationError("REDIS_SSL_CERTFILE: is missing; REDIS_SSL_KEYFILE alone proves nothing")
    for name, path in zip(FILES, (ca, certificate, key), strict=True):
        if path:
            _check_readable(f"REDIS_{name.upper()}", path)
    context = ssl.create_default_context()
    if ca:
        try:
            context.load_verify_locations(ca)
        except ssl.SSLError:
            raise ConfigurationError(f"REDIS_SSL_CA_CERTS: {ca} holds no certificate in PEM form") from None
    if certificate:
        _check_pair(context, certificate, key or certificate)


def _check_readable(variable: str, path: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise ConfigurationError(f"{variable}: {path} cannot be read: {error.strerror}") from None


def _check_pair(context: ssl.SSLContext, certificate: str, key: str) -> None:
    def ask() -> str:
        # Else OpenSSL would ask at the terminal, and a service would hang.
        raise ConfigurationError(f"REDIS_SSL_KEYFILE: the key in {key} is locked by a passphrase; unlock it")

    try:
        context.load_cert_chain(certificate, key, password=ask)
    except ssl.SSLError as error:
        if "KEY_VALUES_MISMATCH" in str(error):
            raise ConfigurationError(f"REDIS_SSL_KEYFILE: {key} is not the key of {certificate}") from None
        raise ConfigurationError(
            f"REDIS_SSL_CERTFILE, REDIS_SSL_KEYFILE: no PEM certificate and key in {certificate}, {key}"
        ) from None
