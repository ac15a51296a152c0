"""The vectors for other languages: up to date, and judged the same by code that shares nothing with ours."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queue_core.outcomes import Message, Rejection
from queue_core.serializer import deserialize, serialize
from tests.queue.json_values import records
from tests.vectors.cases import ACCEPTED, CANONICAL, REFUSED, STREAM, Case
from tests.vectors.document import FOLDER, documents

VERIFY = FOLDER.parents[1] / "tests" / "vectors" / "verify.mjs"
VECTORS: dict[str, Any] = json.loads((FOLDER / "envelopes.json").read_bytes())


def test_what_is_published_for_other_languages_is_up_to_date() -> None:
    assert {name: (FOLDER / name).read_text() for name in documents()} == documents()


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_the_library_refuses_it_for_that_reason(case: Case) -> None:
    result = deserialize(case.body, channel=STREAM, max_bytes=case.max_bytes)
    assert isinstance(result, Rejection)
    assert result.reason is case.reason


def test_the_vectors_hold_each_case_byte_by_byte() -> None:
    held = [
        one["envelope"].encode() if "envelope" in one else base64.b64decode(one["envelope_base64"])
        for kind in ("accepted", "refused")
        for one in VECTORS[kind]
    ]
    assert held == [case.body for case in (*ACCEPTED, *REFUSED)]
    for case in ACCEPTED:
        assert isinstance(deserialize(case.body, channel=STREAM, max_bytes=case.max_bytes), Message)


@pytest.mark.parametrize("kind", ["canonical", "accepted", "refused"])
def test_names_of_vectors_are_unique(kind: str) -> None:
    names = [one["name"] for one in VECTORS[kind]]
    assert len(set(names)) == len(names) >= len(CANONICAL if kind == "canonical" else ACCEPTED)


@pytest.mark.needs_node
def test_an_independent_implementation_agrees_with_each_of_them(node: str) -> None:
    command = [node, VERIFY, FOLDER / "envelopes.json"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    found = json.loads(done.stdout)
    for kind, members in {
        "canonical": ("name", "canonical", "checksum"),
        "accepted": ("name", "id", "published_at"),
        "refused": ("name", "reason"),
    }.items():
        assert found[kind] == [{member: one[member] for member in members} for one in VECTORS[kind]]


@pytest.mark.needs_node
@settings(max_examples=4, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(found=st.lists(records, min_size=30, max_size=60))
def test_it_agrees_about_whatever_can_be_published(
    node: str, tmp_path_factory: pytest.TempPathFactory, found: list[dict[str, Any]]
) -> None:
    cases = [
        {
            "name": str(number),
            "envelope": serialize(STREAM, record, message_id="m").decode(),
            "max_bytes": 10**6,
        }
        for number, record in enumerate(found)
    ]
    file = tmp_path_factory.mktemp("records") / "vectors.json"
    file.write_text(json.dumps({"stream": STREAM, "canonical": [], "accepted": cases, "refused": []}))
    done = subprocess.run([node, VERIFY, file], capture_output=True, check=True, timeout=60)
    assert {one.get("id") for one in json.loads(done.stdout)["accepted"]} == {"m"}
