"""The rules of ``tests/docs/guide.py`` are enforced: a guide that is wrong fails."""

from __future__ import annotations

import pytest

from tests.docs.execution import Folder
from tests.docs.guide import Block, blocks_in, indented_code, variables_in
from tests.docs.shown import shows


def block(text: str, language: str = "console", mark: str = "") -> Block:
    return Block("a guide", 1, language, text, mark)


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("console", "$ false\n", "ended with 1"),
        ("console", "$ echo one\ntwo\n", "and not"),
        ("console", "$ echo one\none\n$ no-such-command\n", "ended with 127"),
        ("bash", "false\ntrue\n", "ended with 1"),
        ("bash", "echo $NOT_SET\n", "ended with 1"),
        ("python", "raise ValueError\n", "ended with 1"),
    ],
)
def test_what_does_not_do_what_it_says_fails(folder: Folder, language: str, text: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        folder.execute(block(text, language))


def test_a_console_keeps_its_folder_and_its_variables_to_its_end(folder: Folder) -> None:
    folder.execute(block("$ export A=1\n$ mkdir b && cd b\n$ echo $A $(basename $PWD)\n1 b\n"))
    folder.execute(block("$ echo [$A]\n[]\n"))


def test_lines_after_a_backslash_and_of_a_here_document_belong_to_the_command() -> None:
    text = "$ cat <<'END'\nin it\nEND\nin it\n$ echo a \\\n  b\na b\n"
    assert block(text).dialogue() == [
        ("cat <<'END'\nin it\nEND\n", "in it\n"),
        ("echo a \\\n  b\n", "a b\n"),
    ]


@pytest.mark.parametrize(
    ("output", "shown", "same"),
    [
        ("12 rows in 0.3 s", "7 rows in 1 s", True),
        ("12 rows", "12 lines", False),
        ("a\nb\nc", "a\n...\nc", True),
        ("a\nb\nc", "a\nc", False),
        ("before\na\nafter", "a", True),
        ("ab", "a", False),
        ("a\nc", "c\n...\na", False),
    ],
)
def test_output_is_compared_but_for_numbers(output: str, shown: str, same: bool) -> None:
    assert shows(output, shown) is same


def test_code_that_is_only_indented_is_found_and_a_list_is_none() -> None:
    text = "Say:\n\n    make up\n    make down\n\n- one\n\n  two\n\n```text\n\n    a\n```\n"
    assert indented_code(text) == ["make up"]


def test_variables_are_found_by_their_whole_names() -> None:
    text = "`REDIS_SSL_CA_CERTS=x`, REDIS_..., MY_REDIS_HOST, TUTORMAX_STORE_URL."
    assert variables_in(text) == {"REDIS_SSL_CA_CERTS", "TUTORMAX_STORE_URL"}


def test_a_mark_belongs_to_the_block_right_after_it() -> None:
    text = "<!-- run by: a.py,\nb.py -->\n```bash\nmake up\n```\n\n```bash\nmake test\n```\n"
    first, second = blocks_in(text, "a guide")
    assert (first.run_by, first.is_executed) == (["a.py", "b.py"], False)
    assert (second.mark, second.is_executed, second.line) == ("", True, 7)
