"""Running a guide's blocks where it may break everything: in a folder, with a server of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from queue_core.embedded import find_server_binary
from tests.docs.guide import PROJECT, Block
from tests.docs.shown import shows

#: A block that takes longer hangs.
_SECONDS = 90
_ENDED = "-- ended with"

_MAIN = "from tutormax_pipeline.cli import main; main(prog_name='tutormax')"
_PROGRAMS = {
    "tutormax": f'exec "{{python}}" -c "{_MAIN}" "$@"',
    "python": 'exec "{python}" "$@"',
    "redis-server": 'exec "{server}" "$@"',
    "redis-cli": 'exec /usr/bin/redis-cli -p "$REDIS_PORT" "$@"',
}


class Folder:
    """Where a guide's blocks run.

    Args:
        path: the folder.
        port: of the guide's server.
    """

    def __init__(self, path: Path, port: int) -> None:
        self.path = path
        programs = path / ".venv" / "bin"
        programs.mkdir(parents=True)
        for name, command in _PROGRAMS.items():
            program = programs / name
            program.write_text(
                f"#!/bin/sh\n{command.format(python=sys.executable, server=find_server_binary())}\n"
            )
            program.chmod(0o755)
        (programs / "python3").symlink_to("python")
        # What is meant to be run from the checkout's folder.
        for name in ("examples", "deploy", "tutormax_pipeline", ".env.example"):
            if (PROJECT / name).exists():
                (path / name).symlink_to(PROJECT / name)
        self.environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(path),
            "PYTHONPATH": str(PROJECT),
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "120",
            "LANG": "C.UTF-8",
            "REDIS_PORT": str(port),
            "DAGSTER_DISABLE_TELEMETRY": "1",
        }

    def execute(self, block: Block) -> None:
        """Run a block; fails where it does not do what the guide says."""
        if block.language == "python":
            output = self._run([sys.executable, "-"], block.text)
            self._assert_ended(block, block.text, output, expected="")
            return
        parts = block.dialogue() if block.language == "console" else [(block.text, "")]
        end = f"printf '\\n{_ENDED} %d\\n' $?\n"
        strict = "" if block.language == "console" else "set -eu\n"
        script = "".join(
            f"({strict}{command})\n{end}" if strict else f"{command}{end}" for command, _ in parts
        )
        output = self._run(["bash"], script)
        for command, shown in parts:
            said, _, output = output.partition(f"\n{_ENDED} ")
            code, _, output = output.partition("\n")
            self._assert_ended(block, command, f"{said}\n{_ENDED} {code}\n", expected=shown)

    def _run(self, program: list[str], script: str) -> str:
        process = subprocess.Popen(
            program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.path,
            env=self.environment,
            start_new_session=True,
        )
        try:
            output = process.communicate(script.encode(), timeout=_SECONDS)[0].decode()
        finally:
            # Also what a block started in the background: the group was made for this block.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return output if program == ["bash"] else f"{output}\n{_ENDED} {process.returncode}\n"

    @staticmethod
    def _assert_ended(block: Block, command: str, output: str, *, expected: str) -> None:
        said, _, code = output.rpartition(f"\n{_ENDED} ")
        if expected.strip():
            assert shows(said, expected), f"{block}: {command}\nsays\n{said}\nand not\n{expected}"
        else:
            assert code.strip() == "0", f"{block}: {command}\nended with {code.strip()}:\n{said}"


def has_redis_cli() -> bool:
    """Whether Debian's redis-cli is here."""
    return shutil.which("redis-cli", path="/usr/bin") is not None
