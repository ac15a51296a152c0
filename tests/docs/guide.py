"""What a guide says to do: its fenced blocks, the marks before them, and the commands in its sentences.

The rules, for whoever writes a guide (README.md, queue_core/README.md, every ``*.md`` of docs/, examples/ and
deploy/):

1. A fenced block says its language. ``console`` (commands after ``$ ``, and what they show), ``bash``,
   ``sh`` and ``python`` are executed; ``ini`` (variables of ``.env``), ``conf`` (of a redis.conf),
   ``json`` and ``yaml`` are checked. ``text``, ``mermaid``, ``sql``, ``javascript`` and ``lua`` are for
   people: no command may stand in one.
2. The blocks of a guide run one after another in one folder: the sample is in its tables, three dead
   letters of feedback are there, and nothing waits. ``tutormax`` and ``python`` of this checkout are on
   PATH and in ``.venv/bin``, ``redis-server`` is the wheel's Valkey. REDIS_PORT, and ``redis-cli``
   without an address, lead to a server of the guide's own. What a block exports is forgotten at its
   end, and what it left running is ended.
3. A command must end with 0. What a ``console`` block shows must come, in that order; any number stands
   for any other, any id for any other, and a line ``...`` for any lines. Where it shows something, it may
   end with another code.
4. A block that is run elsewhere has right before it ``<!-- run by: tests/cli/test_up.py -->``: each of its
   commands has to be mentioned there (several files: with commas).
5. A block that cannot run has ``<!-- cannot run here: needs Docker; checked instead: ... -->``. Files of
   this checkout that it names, in backquotes, have to be there.
6. ``tutormax ...`` and ``make ...`` within a sentence have to exist, with every option. One that is whole is
   run, ID being a dead letter's and CHANNEL ``feedback``; one that does not end by itself is not.
   ``redis-cli ...`` there is run on the guide's server, the module of ``python -m ...`` and what
   ``pip install ...`` names have to exist.
7. Code is fenced: lines that are code because they are indented would not be looked at. (``docs/api.md`` is
   made from docstrings, and may.)
8. Every variable ``REDIS_...``, ``TUTORMAX_...`` and ``DAGSTER_...`` that a guide names is a setting, or one
   of compose.yaml or deploy/.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]

#: Languages whose blocks hold commands.
EXECUTED = frozenset({"console", "bash", "sh", "python"})
#: Languages whose blocks are checked without being run.
CHECKED = frozenset({"ini", "conf", "json", "yaml"})
#: Languages whose blocks are for people.
READ = frozenset({"text", "mermaid", "sql", "javascript", "lua"})

#: Programs whose commands are looked at in sentences.
PROGRAMS = frozenset({"tutormax", "make", "redis-cli", "python", "pip"})

_BLOCK = re.compile(
    r"(?:^[ ]*<!-- (?P<mark>(?:run by|cannot run here): (?:(?!-->)[\s\S])+?) -->\n+)?"
    r"^(?P<indent>[ ]*)```(?P<language>\w*)\n(?P<text>[\s\S]*?)^(?P=indent)```$",
    re.MULTILINE,
)
_HERE = re.compile(r"<<-?\s*['\"]?(?P<word>\w+)")
_SPAN = re.compile(r"`([^`]+)`")
_INDENTED = re.compile(r"(?:^|\n)[ \t]*\n((?: {4}|\t)[ \t]*\S.*)")
_VARIABLE = re.compile(r"(?<![A-Za-z0-9_])(?:REDIS|TUTORMAX|DAGSTER)_[A-Z0-9_]*[A-Z0-9]\b")
_COMMENT = re.compile(r"<!--[\s\S]*?-->")
_PATH = re.compile(r"`((?:tests|deploy|benchmarks|queue_core|tutormax_pipeline)/[^`\s:]*|compose\.yaml)`")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        guide: the file, from the project's folder on.
        line: its number in that file.
        language: as the fence says it; empty where it says none.
        text: without the fence, and without the indentation of a list.
        mark: what the comment right before it says; empty where there is none.
    """

    guide: str
    line: int
    language: str
    text: str
    mark: str

    def __str__(self) -> str:
        return f"{self.guide}:{self.line}"

    @property
    def run_by(self) -> list[str]:
        """The files that run it instead of the guides' own test."""
        names = self.mark.removeprefix("run by:") if self.mark.startswith("run by:") else ""
        return [name.strip() for name in names.split(",") if name.strip()]

    @property
    def is_executed(self) -> bool:
        return self.language in EXECUTED and not self.mark

    def commands(self) -> list[str]:
        """Its commands: of a console those after a prompt, of a script its lines."""
        if self.language == "console":
            return [command for command, _ in self.dialogue()]
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for line in lines if line.strip() and not line.startswith("#")]

    def dialogue(self) -> list[tuple[str, str]]:
        """Each command of a console block, and what it shows."""
        found: list[tuple[str, str]] = []
        for line in self.text.splitlines(keepends=True):
            if found and not found[-1][1] and _goes_on(found[-1][0]):
                found[-1] = (found[-1][0] + line, "")
            elif line.startswith("$ "):
                found.append((line[2:], ""))
            else:
                assert found, f"{self}: a console block begins with '$ '"
                found[-1] = (found[-1][0], found[-1][1] + line)
        return found


def _goes_on(command: str) -> bool:
    """Whether a command's next line belongs to it: after a backslash, and within a here-document."""
    ends = _HERE.search(command)
    if ends is not None:
        return not command.endswith(f"\n{ends['word']}\n")
    return command.endswith("\\\n")


def guides() -> list[str]:
    """Every guide of the project, from its folder on."""
    found = [PROJECT / "README.md", PROJECT / "queue_core" / "README.md", *PROJECT.glob("docs/**/*.md")]
    found += [*PROJECT.glob("examples/**/*.md"), *PROJECT.glob("deploy/**/*.md")]
    return sorted(str(path.relative_to(PROJECT)) for path in found)


def blocks(guide: str) -> list[Block]:
    """The fenced blocks of a guide, in their order."""
    return blocks_in((PROJECT / guide).read_text(), guide)


def blocks_in(text: str, guide: str) -> list[Block]:
    """The fenced blocks of a guide's text."""
    return [
        Block(
            guide=guide,
            line=text.count("\n", 0, found.start("language")) + 1,
            language=found["language"],
            text=textwrap.dedent(found["text"]),
            mark=" ".join((found["mark"] or "").split()),
        )
        for found in _BLOCK.finditer(text)
    ]


def sentences(guide: str) -> str:
    """A guide without its blocks and comments."""
    return _COMMENT.sub("", _BLOCK.sub("", (PROJECT / guide).read_text()))


def commands_in_sentences(guide: str) -> Iterator[str]:
    """Every command of :data:`PROGRAMS` that a sentence or a table names."""
    for span in _SPAN.findall(sentences(guide)):
        command = " ".join(span.split()).removeprefix(".venv/bin/")
        if command.partition(" ")[0] in PROGRAMS and " " in command:
            yield command


def indented_code(text: str) -> list[str]:
    """The first lines of blocks that are code by their indentation alone."""
    return [line.strip() for line in _INDENTED.findall(_COMMENT.sub("", _BLOCK.sub("", text)))]


def variables_in(text: str) -> set[str]:
    """The environment variables that a text names."""
    return set(_VARIABLE.findall(text))


def paths_in(mark: str) -> list[str]:
    """The project's files that a mark names."""
    return _PATH.findall(mark)
