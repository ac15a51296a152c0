"""deploy/check_env.py, used as `make up-compose` uses it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.deploy.compose_file import COMPOSE, ROOT


def checked(folder: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What it says in a folder that has compose.yaml."""
    (folder / "deploy").mkdir(exist_ok=True)
    shutil.copy(COMPOSE, folder)
    shutil.copy(ROOT / "deploy" / "check_env.py", folder / "deploy")
    return subprocess.run(
        [sys.executable, str(folder / "deploy" / "check_env.py"), *options],
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def made_env(folder: Path) -> dict[str, str]:
    """The secrets that it makes."""
    done = checked(folder, "--make")
    assert done.returncode == 0, done.stderr
    lines = (folder / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)
