"""A TCP proxy between programs and a server, to break what lies between them.

It cuts connections in the middle of a command or of an answer, holds everything back, or refuses to connect.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Literal, Self

Direction = Literal["commands", "answers"]

_CHUNK_BYTES = 65_536


class TcpProxy:
    """Listens on a port of its own on 127.0.0.1 and passes everything on to ``target_port``.

    Attributes:
        target_port: where new connections go; may be changed at any time.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        self._refusing = False
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        with self._lock:
            return len(self._links)

    def cut(self, after_bytes: int, direction: Direction = "answers") -> None:
        """End every present connection once so many more bytes have passed in a direction."""
        with self._lock:
            for link in self._links:
                link.left_bytes[direction] = after_bytes

    def stall(self) -> None:
        """Hold everything back, in both directions, until :meth:`heal`."""
        self._flowing.clear()

    def refuse(self) -> None:
        """End every connection and each new one at once, until :meth:`heal`."""
        self._refusing = True
        with self._lock:
            links = list(self._links)
        for link in links:
            link.end()

    def heal(self) -> None:
        """Pass everything on again."""
        self._refusing = False
        self._flowing.set()

    def close(self) -> None:
        """End it all."""
        self.refuse()
        self._flowing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target_port), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = _Link(client, server)
            with self._lock:
                self._links.add(link)
            ways: list[tuple[socket.socket, socket.socket, Direction]] = [
                (client, server, "commands"),
                (server, client, "answers"),
            ]
            for source, target, direction in ways:
                threading.Thread(
                    target=self._pass_on, args=(link, source, target, direction), daemon=True
                ).start()

    def _pass_on(
        self, link: _Link, source: socket.socket, target: socket.socket, direction: Direction
    ) -> None:
        with suppress(OSError):
            while chunk := source.recv(_CHUNK_BYTES):
                self._flowing.wait()
                left = link.left_bytes.get(direction)
                if left is not None and len(chunk) >= left:
                    target.sendall(chunk[:left])
                    break
                if left is not None:
                    link.left_bytes[direction] = left - len(chunk)
                target.sendall(chunk)
        link.end()
        with self._lock:
            self._links.discard(link)
        if link.leave():
            source.close()
            target.close()


class _Link:
    """One connection: its two sockets, and how much more may pass."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self._sockets = client, server
        self._ways = 2
        self._lock = threading.Lock()
        self.left_bytes: dict[Direction, int] = {}

    def end(self) -> None:
        # Closing would leave a thread waiting in recv; this wakes it.
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def leave(self) -> bool:
        """Whether the last of the two threads leaves, which may then close the sockets."""
        with self._lock:
            self._ways -= 1
            return self._ways == 0
