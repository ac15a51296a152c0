"""Where a server listens: ``host:port``, and lists of them as a setting gives them."""

from __future__ import annotations

from typing import NamedTuple

_HIGHEST_PORT = 65_535


class Address(NamedTuple):
    """Host name or IP address, and TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_addresses(text: str, default_port: int) -> tuple[Address, ...]:
    """Read ``host:port,host:port``; an IPv6 address stands in brackets, as in ``[::1]:26379``.

    Args:
        text: the list.
        default_port: port of an address that names none.

    Raises:
        ValueError: it cannot be read so.
    """
    return tuple(_parse(one.strip(), default_port) for one in text.split(","))


def check_host(host: str) -> str:
    """A host as it may stand by itself: with an ``@`` in it, what comes before that would be shown with it.

    Raises:
        ValueError: it holds a user name or a password.
    """
    if "@" in host:
        raise ValueError(
            "must be a host by itself, without @: user name and password have variables of their own"
        )
    return host


def _parse(text: str, default_port: int) -> Address:
    check_host(text)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or str(default_port)
    else:
        host, _, rest = text.partition(":")
        port = rest or str(default_port)
    if not host or not port.isdecimal() or not 1 <= int(port) <= _HIGHEST_PORT:
        raise ValueError("must be host:port,host:port with ports from 1 to 65535")
    return Address(host, int(port))
