"""The merge patch that a run mends dead letters with."""

from collections.abc import Iterator, Mapping
from typing import Any

from queue_core import QueueChannels, strict_json
from tutormax_pipeline.records import PERSONAL, record_class


def read_patch(given: Any) -> Mapping[str, object]:
    """The patch of a run's config: an object, or the JSON text of one.

    Raises:
        ValueError: it is neither; or would set a field that holds personal data (a run's config is kept and
            shown to everybody; it is no place for that); or one that identifies a record.
    """
    if isinstance(given, str):
        try:
            given = strict_json.loads(given.encode(errors="surrogatepass"))
        except strict_json.StrictJSONError as error:
            raise ValueError(f"merge_patch: {error}.") from None
    if not isinstance(given, dict):
        raise ValueError('merge_patch: must be an object, such as {"rating": 5}; null removes a field.')
    try:
        strict_json.check(given)
    except strict_json.StrictJSONError as error:
        raise ValueError(f"merge_patch: {error}.") from None
    personal = sorted({name for name in _personal() if given.get(name) is not None})
    if personal:
        raise ValueError(
            f"merge_patch: {', '.join(personal)} holds personal data, and a run's config is kept for all to "
            "see. Mend such letters with 'tutormax dlq edit'."
        )
    keys = sorted({channel.id_field for channel in QueueChannels.all()} & given.keys())
    if keys:
        raise ValueError(
            f"merge_patch: {', '.join(keys)} says whose record it is: one patch for many letters would make "
            "one record of all. Mend such a letter by itself with 'tutormax dlq edit'."
        )
    return given


def _personal() -> Iterator[str]:
    for channel in QueueChannels.all():
        for name, field in record_class(channel).model_fields.items():
            if PERSONAL in (field.description or ""):
                yield name
