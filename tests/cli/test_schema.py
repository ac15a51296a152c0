"""The contract as JSON Schema: valid itself, and of one mind with the code that stores records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from queue_core import Channel, QueueChannels, strict_json
from queue_core.channels import Keys
from queue_core.serializer import deserialize, serialize
from queue_core.strict_json import StrictJSONError
from tests.cli.conftest import Command
from tests.pipeline.nasty import KEYS, TEXTS, VALUES
from tests.vectors.cases import ACCEPTED, REFUSED
from tutormax_pipeline.json_schemas import envelope_schema, record_schema
from tutormax_pipeline.records import Record, record_class, validate
from tutormax_pipeline.sample import sample_lines

#: Rows of real evaluations, where a checkout stands beside them; the sample has the same ones.
SHARED = Path(__file__).parents[3] / "shared" / "data"
KEYS_OF_OURS = Keys("tutormax")
LEAST: dict[str, dict[str, Any]] = {
    "tutors": {"tutor_id": "T", "name": "x"},
    "sessions": {"session_id": "S", "tutor_id": "T"},
    "feedback": {"feedback_id": "F", "tutor_id": "T", "rating": 4},
}
EACH_CHANNEL = pytest.mark.parametrize("channel", QueueChannels.all(), ids=str)


def is_record(channel: Channel, data: dict[str, Any]) -> bool:
    """Whether the pipeline stores it."""
    message = deserialize(serialize(KEYS_OF_OURS.stream(channel), data))
    return isinstance(validate(record_class(channel), message), Record)


def nasty_values() -> Iterator[object]:
    """Everything of the corpus that can be published at all."""
    yield from TEXTS.values()
    for text in VALUES.values():
        try:
            yield strict_json.loads(b'{"value":%s}' % text)["value"]
        except StrictJSONError:
            continue


@EACH_CHANNEL
def test_a_schema_is_one_by_the_dialect_that_it_names(tutormax: Command, channel: Channel) -> None:
    for options in ([], ["--envelope"]):
        done = tutormax("schema", channel.name, *options)
        assert (done.returncode, done.stderr) == (0, "")
        schema = json.loads(done.stdout)
        assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
        Draft202012Validator.check_schema(schema)


@EACH_CHANNEL
def test_each_row_of_the_sample_is_valid(channel: Channel) -> None:
    lines = list(sample_lines(channel))
    if SHARED.is_dir():
        lines += (SHARED / f"{channel}.jsonl").read_bytes().splitlines()
    record = Draft202012Validator(record_schema(channel))
    message = Draft202012Validator(envelope_schema(channel, KEYS_OF_OURS))
    for line in lines:
        data = orjson.loads(line)
        record.validate(data)
        message.validate(orjson.loads(serialize(KEYS_OF_OURS.stream(channel), data)))
    assert len(lines) >= 94


@EACH_CHANNEL
def test_schema_and_code_agree_on_whatever_stands_in_a_field(channel: Channel) -> None:
    validator = Draft202012Validator(record_schema(channel))
    refused, least = 0, LEAST[channel.name]
    for name, field in record_class(channel).model_fields.items():
        # 'format' only describes, and JSON Schema takes 1.0 for a whole number: see the module.
        skipped = (
            str if "datetime" in str(field.annotation) else float if "int" in str(field.annotation) else ()
        )
        for value in nasty_values():
            if not isinstance(value, skipped):
                data = {**least, name: value}
                assert validator.is_valid(data) == is_record(channel, data), (name, value)
                refused += not is_record(channel, data)
        missing = {other: value for other, value in least.items() if other != name}
        assert validator.is_valid(missing) == is_record(channel, missing)
    assert refused > 100


@EACH_CHANNEL
def test_fields_that_nobody_listed_are_allowed(channel: Channel) -> None:
    validator = Draft202012Validator(record_schema(channel))
    known = record_class(channel).model_fields
    validator.validate(LEAST[channel.name] | {key: {"any": ["thing"]} for key in KEYS if key not in known})


def test_the_schema_of_an_envelope_is_right_about_the_vectors() -> None:
    whole = envelope_schema(QueueChannels.TUTORS, KEYS_OF_OURS)
    validator = Draft202012Validator(
        whole | {"properties": whole["properties"] | {"data": {"type": "object"}}}
    )
    for case in ACCEPTED:
        validator.validate(json.loads(case.body))
    named = {case.name: case.body for case in REFUSED}
    for name in [
        "no id",
        "an empty id",
        "an id that is a number",
        "an id of 129 characters",
        "no timestamp",
        "a timestamp in seconds since 1970",
        "no channel",
        "no data",
        "data that is a list",
        "metadata that is null",
        "no checksum",
        "an empty checksum",
        "the channel's name instead of its key",
        "another channel's key",
    ]:
        assert not validator.is_valid(json.loads(named[name])), name


def test_the_key_of_the_stream_has_the_prefix_in_force(tutormax: Command) -> None:
    done = tutormax("schema", "tutors", "--envelope", REDIS_KEY_PREFIX="school")
    assert json.loads(done.stdout)["properties"]["channel"]["const"] == "school:tutors"


def test_all_schemas_go_into_a_folder(tutormax: Command, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "schemas"
    done = tutormax("schema", "--all", "--output", str(folder))
    tutormax("schema", "--all", "--output", str(folder), "--envelope")
    assert done.stdout.split() == [str(folder / f"{one}.schema.json") for one in QueueChannels.all()]
    found = {path.name: json.loads(path.read_bytes()) for path in folder.iterdir()}
    assert len(found) == 6
    assert found["feedback.schema.json"] == record_schema(QueueChannels.FEEDBACK)


@pytest.mark.parametrize(
    "arguments", [[], ["--all"], ["tutors", "--all", "--output", "x"], ["tutors", "--output", "x"], ["tutor"]]
)
def test_what_does_not_go_together_is_refused(tutormax: Command, arguments: list[str]) -> None:
    done = tutormax("schema", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: " in done.stderr


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tutormax: Command, tmp_path: Path) -> None:
    tmp_path.joinpath("taken").write_text("")
    done = tutormax("schema", "--all", "--output", f"{tmp_path}/taken/folder")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.endswith("Not a directory. Give --output a folder that you may write to.")
