"""What a guide says holds: ``tests/docs/guide.py`` has the rules."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import orjson
import pytest
import yaml
from click.testing import CliRunner
from dotenv import dotenv_values
from redis import Redis

from queue_core import RedisClient, RedisSettings
from tests.docs.execution import Folder, has_redis_cli
from tests.docs.guide import (
    CHECKED,
    EXECUTED,
    PROJECT,
    READ,
    blocks,
    commands_in_sentences,
    guides,
    indented_code,
    paths_in,
    variables_in,
)
from tests.docs.servers import started
from tests.test_env_example import variables
from tutormax_pipeline.cli import main
from tutormax_pipeline.settings import PipelineSettings, redis_settings

GUIDES = guides()
#: Commands that go on until somebody ends them, or take Dagster's seconds: tests of their own run these.
RUN_ELSEWHERE = {"up", "drain", "monitor", "worker", "metrics", "simulate"}
#: What ``pip install`` may name: a package of ours, with one of its extras.
INSTALLABLE = {
    f"{project['name']}{extra}"
    for file in ("pyproject.toml", "queue_core/pyproject.toml")
    for project in [tomllib.loads((PROJECT / file).read_text())["project"]]
    for extra in ("", *(f"[{name}]" for name in project["optional-dependencies"]))
}
#: A comment after a command, its redirections and the words around it are not mentioned elsewhere.
NOT_MENTIONED = re.compile(r"\s#.*$|^(make|tutormax|python|\.venv/bin/\w+|echo|cat)$|[=|<>$&]|^-|^\W*$")


def needing_redis_cli(guide: str) -> bool:
    return any(block.is_executed and "redis-cli" in block.text for block in blocks(guide))


@pytest.mark.parametrize(
    "guide",
    [
        pytest.param(guide, marks=[pytest.mark.needs_redis_server] if needing_redis_cli(guide) else [])
        for guide in GUIDES
        if any(block.is_executed for block in blocks(guide))
    ],
)
def test_every_command_of_a_guide_does_what_it_says(guide: str, folder: Folder) -> None:
    if needing_redis_cli(guide) and not has_redis_cli():
        pytest.skip("redis-cli is not installed (Debian package redis-server)")
    for block in blocks(guide):
        if block.is_executed:
            folder.execute(block)


@pytest.mark.parametrize("guide", GUIDES)
def test_every_block_is_executed_checked_or_says_why_not(guide: str) -> None:
    for block in blocks(guide):
        assert block.language in EXECUTED | CHECKED | READ, f"{block}: which language is it?"
        if block.language not in EXECUTED:
            continue
        assert block.commands(), f"{block}: has no command"
        if block.mark and not block.run_by:
            assert re.fullmatch(r"cannot run here: [^;]+; checked instead: .{10,}", block.mark), (
                f"{block}: say '<!-- cannot run here: needs ...; checked instead: ... -->'"
            )
            for path in paths_in(block.mark):
                assert (PROJECT / path).exists(), f"{block}: there is no {path}"


def test_a_fence_that_is_not_understood_is_not_overlooked() -> None:
    for guide in GUIDES:
        fences = re.findall(r"^ *```", (PROJECT / guide).read_text(), re.MULTILINE)
        assert len(fences) == 2 * len(blocks(guide)), guide


@pytest.mark.parametrize("guide", GUIDES)
def test_what_is_run_elsewhere_is_mentioned_there(guide: str) -> None:
    for block in blocks(guide):
        texts = [(PROJECT / name).read_text() for name in block.run_by]
        for command in block.commands() if texts else []:
            words = shlex.split(command, comments=True)
            named = [word for word in words if not NOT_MENTIONED.search(word)]
            assert named, f"{block}: {command}: nothing to look for"
            assert any(all(word in text for word in named) for text in texts), f"{block}: {command}"


@pytest.mark.parametrize("guide", GUIDES)
def test_variables_and_data_are_what_they_should_be(guide: str, tmp_path: Path) -> None:
    for block in blocks(guide):
        if block.language == "ini":
            (tmp_path / ".env").write_text(block.text)
            named = set(dotenv_values(tmp_path / ".env"))
            assert named <= variables(RedisSettings) | variables(PipelineSettings), block
            RedisSettings.load()
            PipelineSettings.load()
        elif block.language == "json":
            assert orjson.loads(block.text), block
        elif block.language == "yaml":
            assert list(yaml.safe_load_all(block.text)), block


@pytest.mark.needs_redis_server
def test_a_server_starts_with_each_configuration(tmp_path: Path) -> None:
    for guide in GUIDES:
        for block in blocks(guide):
            if block.language == "conf":
                (tmp_path / "redis.conf").write_text(block.text)
                with started("redis", tmp_path / "redis.conf", tmp_path):
                    pass


@pytest.mark.parametrize("guide", GUIDES)
def test_every_command_in_a_sentence_exists_with_its_options(guide: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    for command in commands_in_sentences(guide):
        program, *words = shlex.split(command.replace("<", "").replace(">", ""))
        if program == "make":
            assert {word for word in words if word[0].islower()} <= targets, command
        elif program == "tutormax":
            unknown_word_of(words, command)
        elif program == "python":
            assert words[0] == "-m", f"`{command}`: give a program of ours as a module"
            assert importlib.util.find_spec(words[1]), command
        elif program == "pip":
            assert words[:-1] == ["install"], command
            assert words[-1] in INSTALLABLE, command


@pytest.mark.parametrize("guide", [one for one in GUIDES if any(commands_in_sentences(one))])
def test_a_whole_command_in_a_sentence_can_be_run_as_it_is(guide: str, folder: Folder) -> None:
    home = folder.path / ".tutormax"
    with RedisClient(redis_settings(PipelineSettings.load(home=home))) as client:
        ((letter_id, _),) = client.redis.xrange(client.keys.dead_letter, count=1)
    for command in dict.fromkeys(commands_in_sentences(guide)):
        program, *words = shlex.split(command)
        if program == "redis-cli":
            folder_server(folder).execute_command(*words)
        if program != "tutormax" or words[0] in RUN_ELSEWHERE or is_a_name(words):
            continue
        words = [{"ID": letter_id.decode(), "CHANNEL": "feedback"}.get(word, word) for word in words]
        done = CliRunner().invoke(main, words, env={"TUTORMAX_HOME": str(home)})
        assert done.exit_code in {0, 1}, f"`{command}`: {done.output}"
        assert not done.stderr.startswith(("Usage:", "Error:")), f"`{command}`: {done.stderr}"


def folder_server(folder: Folder) -> Redis:
    """The guide's own server; it raises where a command is none."""
    return Redis(port=int(folder.environment["REDIS_PORT"]))


@pytest.mark.parametrize("guide", GUIDES)
def test_code_is_fenced(guide: str) -> None:
    assert guide == "docs/api.md" or indented_code((PROJECT / guide).read_text()) == []


def test_every_variable_that_a_guide_names_is_a_setting_or_one_of_the_deployment() -> None:
    files = [PROJECT / "compose.yaml", *(PROJECT / "deploy").rglob("*")]
    known = variables(RedisSettings) | variables(PipelineSettings)
    for file in files:
        if file.is_file() and file.suffix not in {".md", ".pyc"}:
            known |= variables_in(file.read_text())
    for guide in GUIDES:
        assert variables_in((PROJECT / guide).read_text()) <= known, guide


def is_a_name(words: list[str]) -> bool:
    """Whether a sentence speaks of a command, without what it would need to be run."""
    at: click.Command = main
    for word in words:
        if not isinstance(at, click.Group) or word.startswith("-"):
            return "FILE" in words
        at = at.commands[word]
    return isinstance(at, click.Group) or any(one.required for one in at.params)


def unknown_word_of(words: list[str], command: str) -> None:
    at: click.Command = main
    options: set[str] = {"--help", "-h", "--version"}
    for word in words:
        if isinstance(at, click.Group) and not word.startswith("-"):
            assert word in at.commands, f"`{command}`: there is no {word}"
            at = at.commands[word]
            options |= {name for one in at.params for name in one.opts}
        elif word.startswith("-") and len(word) > 1:
            assert word.partition("=")[0] in options, f"`{command}`: there is no {word}"


def links(guide: str) -> Iterator[str]:
    for found in re.finditer(r"\]\(([^)\s]+)\)", (PROJECT / guide).read_text()):
        if "://" not in found[1]:
            yield found[1]


def anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ +(.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("guide", GUIDES)
def test_every_link_leads_somewhere(guide: str) -> None:
    for link in links(guide):
        name, _, anchor = link.partition("#")
        path = (PROJECT / guide).parent / name if name else PROJECT / guide
        assert path.exists(), f"{guide}: {link}"
        assert not anchor or anchor in anchors(path), f"{guide}: {link}"


def test_the_readme_leads_to_every_guide() -> None:
    readme = PROJECT / "README.md"
    named = {os.path.normpath(link.partition("#")[0]) for link in links("README.md")}
    assert {guide for guide in GUIDES if guide.startswith("docs/")} <= named, readme
