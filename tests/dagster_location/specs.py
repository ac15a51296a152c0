"""What the code location shows, as JSON; ``python -m tests.dagster_location.specs`` writes it anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from tutormax_pipeline.definitions import defs

SNAPSHOT = Path(__file__).parent / "snapshot" / "specs.json"
REGENERATE = "python -m tests.dagster_location.specs"


def specs() -> dict[str, Any]:
    """Every definition, by kind and name, with what a person sees of it."""
    repository = defs.get_repository_def()
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    graph = defs.resolve_asset_graph()
    return {
        "assets": {key.to_user_string(): _asset(graph.get(key)) for key in graph.get_all_asset_keys()},
        "checks": {key.to_user_string(): _check(graph.get_check_spec(key)) for key in graph.asset_check_keys},
        "jobs": {job.name: _job(job) for job in jobs},
        "ops": {
            node.name: {"description": node.definition.description, "config": _fields(node.definition)}
            for job in jobs
            for node in job.nodes
        },
        "sensors": {one.name: _sensor(one) for one in repository.sensor_defs},
        "schedules": {one.name: _schedule(one) for one in repository.schedule_defs},
        "resources": {
            name: {"description": one.description, "config": _fields(one)}
            for name, one in repository.get_top_level_resources().items()
        },
    }


def as_json(found: Mapping[str, Any]) -> str:
    """The same, in a form in which every change is a line of its own."""
    return json.dumps(found, default=str, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _asset(node: Any) -> dict[str, Any]:
    return {
        "description": node.description,
        "group": node.group_name,
        "kinds": sorted(node.kinds),
        "owners": sorted(node.owners),
        "tags": dict(node.tags),
        "code_version": node.code_version,
        "parents": sorted(key.to_user_string() for key in node.parent_keys),
        "metadata": {name: _shown(value) for name, value in node.metadata.items()},
        "automation": _labels(node.automation_condition),
    }


def _labels(condition: Any) -> list[str]:
    if condition is None:
        return []
    own = [condition.get_label()] if condition.get_label() else []
    return own or [label for child in condition.children for label in _labels(child)]


def _shown(value: Any) -> Any:
    value = getattr(value, "value", value)
    if isinstance(value, dg.TableSchema):
        return {column.name: f"{column.type}: {column.description}" for column in value.columns}
    return value if isinstance(value, str | int | float) else type(value).__name__


def _check(spec: dg.AssetCheckSpec) -> dict[str, Any]:
    return {
        "description": spec.description,
        "blocking": spec.blocking,
        "metadata": {name: _shown(value) for name, value in spec.metadata.items()},
    }


def _job(job: dg.JobDefinition) -> dict[str, Any]:
    return {
        "description": job.description,
        "nodes": sorted(node.name for node in job.nodes),
        "tags": dict(job.tags),
        "metadata": {name: _shown(value) for name, value in job.metadata.items()},
    }


def _sensor(one: dg.SensorDefinition) -> dict[str, Any]:
    return {
        "description": one.description,
        "kind": one.sensor_type.value,
        "default_status": one.default_status.value,
        "minimum_interval_seconds": one.minimum_interval_seconds,
        "jobs": [target.job_name for target in one.targets],
        "tags": dict(one.tags),
        "metadata": {name: _shown(value) for name, value in one.metadata.items()},
    }


def _schedule(one: dg.ScheduleDefinition) -> dict[str, Any]:
    return {
        "description": one.description,
        "job": one.job_name,
        "cron_schedule": one.cron_schedule,
        "default_status": one.default_status.value,
        "tags": dict(one.tags),
        "metadata": {name: _shown(value) for name, value in one.metadata.items()},
    }


def _fields(definition: Any) -> dict[str, Any]:
    schema = getattr(definition, "config_schema", None)
    fields = getattr(getattr(schema, "config_type", None), "fields", None) or {}
    return {
        name: {
            "description": field.description,
            "default": field.default_value if field.default_provided else None,
        }
        for name, field in fields.items()
    }


if __name__ == "__main__":
    SNAPSHOT.write_text(as_json(specs()))
