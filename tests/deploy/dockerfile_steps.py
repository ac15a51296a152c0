"""Runs the steps of deploy/Dockerfile in a folder, where no container can be built.

python -m tests.deploy.dockerfile_steps         # all of it, with packages from the index; some minutes

What stands for what:

- The image's file system is a folder: ``/opt`` and ``/build`` in a step are ``opt`` and ``build`` in it. A
  stage that is complete is put aside, and the next begins with an empty folder of the same name, so that
  paths which a step wrote into files stay true.
- The base image is this machine, with the Python that runs this.
- COPY takes from a copy of the sources that holds only what .dockerignore lets through, with the rights
  that a clone under umask 077 has.
- ``useradd`` writes into the folder's own etc/passwd. USER is not applied: who runs this runs the steps.

With ``borrow`` the steps that fetch from the index are left out, and the packages of the present environment
are used instead; everything else, such as building the project's wheel and installing it, is done.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import orjson

ROOT = Path(__file__).parents[2]
#: Folders of the image that a step may name.
_FOLDERS = re.compile(r"(?<![\w.$/-])/(opt|build)(?=[/\s:\"']|$)")
_FETCHES = re.compile(r"\binstall\b.*--require-hashes", re.DOTALL)


@dataclass(frozen=True)
class Step:
    """An instruction of a Dockerfile, its lines joined."""

    keyword: str
    text: str


@dataclass
class Stage:
    """From one FROM to the next."""

    name: str
    base: str
    steps: list[Step] = field(default_factory=list)


@dataclass(frozen=True)
class Image:
    """What came out: the folder, and what a container would be started with."""

    root: Path
    environment: dict[str, str]
    folder: Path
    user: str
    command: list[str]
    health_check: list[str]

    def translated(self, text: str) -> str:
        """The same with the image's folders where they are here."""
        return _FOLDERS.sub(rf"{self.root}/\1", text)


def parse(text: str) -> list[Stage]:
    """The stages of a Dockerfile."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    stages: list[Stage] = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        keyword, _, rest = line.strip().partition(" ")
        if keyword == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(name or f"stage {len(stages)}", base))
        else:
            stages[-1].steps.append(Step(keyword, " ".join(rest.split())))
    return stages


def context(folder: Path) -> Path:
    """A copy of the sources that .dockerignore lets through."""
    allowed, excluded = [], []
    for line in (ROOT / ".dockerignore").read_text().split("\n"):
        rule = line.strip()
        if rule.startswith("!"):
            allowed.append(rule[1:])
        elif rule.startswith("**/"):
            excluded.append(rule.removeprefix("**/"))
        else:
            assert rule in {"", "*"} or rule.startswith("#"), f"a rule that is not understood: {rule}"
    leave_out = shutil.ignore_patterns(*excluded)
    for name in allowed:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=leave_out)
        else:
            shutil.copy2(source, target)
    for one in folder.rglob("*"):
        one.chmod(one.stat().st_mode & 0o700)
    return folder


class Builder:
    """Executes the steps.

    Args:
        folder: an empty one.
        borrow: use the packages of the present environment.
    """

    def __init__(self, folder: Path, *, borrow: bool) -> None:
        self.root = folder / "image"
        self._done, self._context = folder / "stages", context(folder / "context")
        self._borrow = borrow

    def build(self, stages: list[Stage]) -> Image:
        """Execute them all; what came out is in the folder ``image``."""
        self._done.mkdir()
        for number, stage in enumerate(stages):
            if number:
                self.root.rename(self._done / stages[number - 1].name)
            self.root.mkdir()
            self._environment = {"PATH": f"{Path(sys.executable).resolve().parent}:{os.environ['PATH']}"}
            self._folder, self._user = self.root, "0:0"
            self._command: list[str] = []
            self._check: list[str] = []
            for step in stage.steps:
                _STEPS[step.keyword](self, step.text)
        if self._borrow:
            _borrow(self.root / "opt" / "venv")
        return Image(self.root, self._environment, self._folder, self._user, self._command, self._check)

    def _env(self, text: str) -> None:
        for pair in shlex.split(text):
            name, _, value = pair.partition("=")
            value = value.replace("$PATH", self._environment["PATH"])
            self._environment[name] = self._here(value)

    def _workdir(self, text: str) -> None:
        self._folder = Path(self._here(text))
        self._folder.mkdir(parents=True, exist_ok=True)

    def _run(self, text: str) -> None:
        if self._borrow and _FETCHES.search(text):
            kept = _FETCHES.split(text)[0].rpartition("&&")[0]
            if "build.txt" in text:
                _borrow(self.root / "build" / "tools", scripts=False)
            return self._run(kept)
        (self.root / "etc").mkdir(exist_ok=True)
        for name in ("passwd", "group"):
            (self.root / "etc" / name).touch()
        command = self._here(text).replace("useradd ", f"useradd --prefix {self.root} ")
        done = subprocess.run(
            ["/bin/sh", "-ec", command],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"RUN {text}\n{done.stdout}\n{done.stderr}"
        return None

    def _copy(self, text: str) -> None:
        words = text.split()
        source_root = self._context
        if words[0].startswith("--from="):
            source_root = self._done / words.pop(0).removeprefix("--from=")
        *sources, last = words
        target = Path(self._here(last)) if last.startswith("/") else self._folder / last
        for name in sources:
            source = source_root / name.lstrip("/")
            assert source.exists(), f"COPY {text}: {name} is not there, or .dockerignore keeps it out"
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
            else:
                into = target / source.name if last.endswith("/") else target
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, into)

    def _as_user(self, text: str) -> None:
        self._user = text

    def _cmd(self, text: str) -> None:
        self._command = orjson.loads(text)

    def _healthcheck(self, text: str) -> None:
        self._check = orjson.loads(text.partition("CMD ")[2])

    def _says(self, _text: str) -> None:
        """What only describes the image."""

    def _here(self, text: str) -> str:
        return _FOLDERS.sub(rf"{self.root}/\1", text)


_STEPS: dict[str, Callable[[Builder, str], None]] = {
    "ENV": Builder._env,
    "WORKDIR": Builder._workdir,
    "RUN": Builder._run,
    "COPY": Builder._copy,
    "USER": Builder._as_user,
    "CMD": Builder._cmd,
    "HEALTHCHECK": Builder._healthcheck,
    "LABEL": Builder._says,
    "EXPOSE": Builder._says,
}


def _borrow(venv: Path, *, scripts: bool = True) -> None:
    """Let an environment see the packages of the present one, and have its commands."""
    site = next((venv / "lib").glob("python*/site-packages"))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    if not scripts:
        return
    for name in ("dagster", "dagster-daemon", "dagster-webserver", "celery"):
        script = Path(sysconfig.get_path("scripts")) / name
        _, _, body = script.read_text().partition("\n")
        (venv / "bin" / name).write_text(f"#!{venv}/bin/python\n{body}")
        (venv / "bin" / name).chmod(0o755)


def build(folder: Path, *, borrow: bool) -> Image:
    """Execute the steps of deploy/Dockerfile in an empty folder."""
    return Builder(folder, borrow=borrow).build(parse((ROOT / "deploy" / "Dockerfile").read_text()))


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="tutormax-image-") as folder:
        image = build(Path(folder), borrow=False)
        for command in (["tutormax", "--version"], [*image.command[:1], "--version"]):
            subprocess.run(command, cwd=image.folder, env=image.environment, check=True)
        size = sum(one.lstat().st_size for one in (image.root / "opt").rglob("*"))
        print(f"/opt of the image: {size / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
