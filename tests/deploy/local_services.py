"""The services of compose.yaml as processes of this machine: their own commands, environments, health checks.

What stands for what, and nothing else is changed:

- The pipeline's image is the folder that the Dockerfile's steps made (dockerfile_steps.py): its commands, its
  environment, its working folder. The processes run as its user, to whom the folder is read-only, but for
  the ``tmpfs`` of the service.
- Redis's image is Debian's redis-server, and PostgreSQL's the binaries of a wheel. Of that image's start
  script only what the service relies upon is done: initdb with the environment's user and password, and the
  scripts of deploy/postgres while the server listens on its socket alone.
- A volume is a folder.
- The services' host names are 127.0.0.1, and so is what they bind to; each port of a container is a free one.
- The signal to stop goes to one process, or to all of a service where ``init`` with TINI_KILL_PROCESS_GROUP
  does that.

Redis Commander's image has no stand-in: its command and health check are not run.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from tests.conftest import wait_until
from tests.deploy.dockerfile_steps import ROOT, Image
from tests.postgres import binaries

#: Ports that the containers listen on.
_PORTS = {
    "redis": "6379",
    "broker": "6380",
    "postgres": "5432",
    "code": "4000",
    "webserver": "3000",
    "metrics": "9464",
}
_REDIS = {"redis", "broker"}
_HOST = re.compile(rf"(?<=@)({'|'.join(_PORTS)})(?=:)")
START_SECONDS = 110
#: A health check is a process, and takes a while itself.
_LOOK_SECONDS = 0.2


class LocalServices:
    """Those services of a compose file that have a stand-in.

    Args:
        folder: for volumes and logs.
        image: what the Dockerfile's steps made.
        services: of compose.yaml, interpolated.
    """

    def __init__(self, folder: Path, image: Image, services: Mapping[str, Any]) -> None:
        self.folder, self._image, self._services = folder, image, services
        self.ports = {service: str(_free_port()) for service in _PORTS}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._owner = image.user.partition(":")[0] if os.geteuid() == 0 else None
        postgres = binaries()
        assert postgres is not None
        self._postgres = postgres

    def start(self, name: str) -> None:
        """Start a service; does not wait."""
        if name == "postgres":
            self._prepare_postgres()
        log = self._log(name).open("ab")
        with log:
            self.processes[name] = self._popen(name, self._command(name), stdout=log, stderr=log)

    def run(self, name: str, *command: str) -> subprocess.CompletedProcess[str]:
        """What ``docker compose run`` would: another command, in a container like the service's."""
        with self._popen(
            name, [*command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            output, errors = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def wait_for_health(self, *names: str) -> None:
        """Until the health check of each succeeds, by running it."""
        for name in names:
            wait_until(partial(self.is_healthy, name), START_SECONDS, f"the health of {name}", _LOOK_SECONDS)

    def is_healthy(self, name: str) -> bool:
        """Run a service's health check once.

        Raises:
            AssertionError: the service has ended.
        """
        assert self.processes[name].poll() is None, f"{name} ended: {self._log(name).read_text()[-4_000:]}"
        return self.check(name).returncode == 0

    def check(self, name: str) -> subprocess.CompletedProcess[str]:
        """What a service's health check says."""
        kind, *words = self._services[name]["healthcheck"]["test"]
        return self.run(name, *(["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else words))

    def stop(self, name: str) -> int:
        """Stop it as Compose does; its exit code.

        Raises:
            subprocess.TimeoutExpired: it would have been killed.
        """
        process = self.processes.pop(name)
        whole = self._services[name].get("environment", {}).get("TINI_KILL_PROCESS_GROUP")
        how = signal.SIGINT if name == "postgres" else signal.SIGTERM
        if whole:
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
        return process.wait(float(self._services[name]["stop_grace_period"].removesuffix("s")))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        family = [*self._family()]
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        for process in self.processes.values():
            process.wait()
        if error is not None:
            for log in sorted(self.folder.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text()[-4_000:]}")

    def _family(self) -> Iterable[psutil.Process]:
        for process in self.processes.values():
            with suppress(psutil.NoSuchProcess):
                one = psutil.Process(process.pid)
                yield from [*one.children(recursive=True), one]

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def volume(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True, mode=0o700)
        return folder

    def _command(self, name: str) -> list[str]:
        command = [*self._services[name]["command"]]
        if name == "postgres":
            # What the image configures: its folders, and that it listens everywhere.
            command += ["-D", str(self.volume("postgres-data")), "-k", str(self.folder)]
            command += ["-p", self.ports[name], "-c", "listen_addresses=127.0.0.1"]
        return command

    def _popen(self, name: str, command: list[str], **options: Any) -> subprocess.Popen[Any]:
        environment = {"PATH": os.environ["PATH"]}
        if "build" in self._services[name]:
            environment |= self._image.environment
            folder = self._image.folder
        else:
            environment["PATH"] = f"{self._postgres}:{environment['PATH']}"
            folder = self.folder
        own = {
            key: self._here(name, str(value)) for key, value in self._services[name]["environment"].items()
        }
        own |= {key: "127.0.0.1" for key in own if key.endswith("_HOST")}
        return subprocess.Popen(
            [*self._as_user(name), *(self._here(name, word) for word in command)],
            cwd=folder,
            env={**environment, **own},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            **options,
        )

    def _as_user(self, name: str) -> list[str]:
        user = self._owner if "build" in self._services[name] else "1000"
        if self._owner is None or name in _REDIS:
            return []
        return ["unshare", f"--map-user={user}", f"--map-group={user}", "--"]

    def _here(self, name: str, text: str) -> str:
        """A word of the file, with what stands for the containers' names, ports and folders."""
        text = _HOST.sub("127.0.0.1", text)
        for service, port in _PORTS.items():
            text = re.sub(rf"(?<!\d){port}(?!\d)", self.ports[service], text)
        text = text.replace("0.0.0.0", "127.0.0.1").replace('--bind "*"', "--bind 127.0.0.1")
        if name in _REDIS:
            text = text.replace("--dir /data", f"--dir {self.volume(f'{name}-data')}")
        return self._image.translated(text)

    def _prepare_postgres(self) -> None:
        data = self.volume("postgres-data")
        variables = self._services["postgres"]["environment"]
        password = self.folder / "superuser"
        password.write_text(variables["POSTGRES_PASSWORD"])
        make = ["initdb", "-D", str(data), "--username", variables["POSTGRES_USER"], f"--pwfile={password}"]
        make += ["--no-sync", "--auth-local=trust", *variables["POSTGRES_INITDB_ARGS"].split()]
        done = self.run("postgres", *make)
        assert done.returncode == 0, done.stderr
        password.unlink()
        control = ["pg_ctl", "-D", str(data), "--silent", "--wait"]
        options = f"-k {self.folder} -p {self.ports['postgres']} -c listen_addresses= -c fsync=off"
        script = "\n".join(
            [
                "set -e",
                f"{' '.join(control)} -l {self.folder}/first.log -o '{options}' start >/dev/null",
                f"export PGHOST={self.folder} PGPORT={self.ports['postgres']}",
                *(str(one) for one in sorted((ROOT / "deploy" / "postgres").glob("*.sh"))),
                f"{' '.join(control)} -m fast stop",
            ]
        )
        done = self.run("postgres", "/bin/sh", "-c", script)
        assert done.returncode == 0, done.stderr


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
