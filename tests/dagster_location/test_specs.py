"""What the code location shows is what was agreed on, and complete."""

from __future__ import annotations

from pathlib import Path

from tests.dagster_location.specs import REGENERATE, SNAPSHOT, as_json, specs

ROOT = Path(__file__).parents[2]


def test_every_definition_looks_as_in_the_snapshot() -> None:
    assert as_json(specs()) == SNAPSHOT.read_text(), (
        f"Definitions changed. If they are to look like this, run `{REGENERATE}` and commit {SNAPSHOT.name}."
    )


def test_every_asset_is_finished() -> None:
    for name, asset in specs()["assets"].items():
        for field in ("description", "group", "kinds", "owners", "tags"):
            assert asset[field], f"{name}: {field}"
        assert any(not tag.startswith("dagster/") for tag in asset["tags"]), name
        assert asset["metadata"]["docs"].endswith(".md"), name
        if "table" in asset["kinds"]:
            assert asset["code_version"], name
            assert asset["metadata"]["dagster/table_name"], name
            columns = asset["metadata"]["dagster/column_schema"]
            assert columns, name
            assert not [column for column, shown in columns.items() if shown.endswith(": None")], name


def test_everything_else_is_described() -> None:
    found = specs()
    checks = {name.replace(":", "_") for name in found["checks"]}
    for kind in ("checks", "jobs", "ops", "sensors", "schedules", "resources"):
        for name, one in found[kind].items():
            # The op of a check is described where the check is.
            assert one["description"] or name in checks, f"{kind} {name}"
            for field, shown in one.get("config", {}).items():
                assert shown["description"], f"{kind} {name}: {field}"


def test_each_asset_names_a_page_that_is_there() -> None:
    pages = {asset["metadata"]["docs"] for asset in specs()["assets"].values()}
    assert pages
    assert [page for page in pages if not (ROOT / page).is_file()] == []
