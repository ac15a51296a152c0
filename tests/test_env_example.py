"""``.env.example`` names every setting with its default."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from dotenv import dotenv_values

from queue_core import RedisSettings
from queue_core.config import EnvironmentSettings
from tutormax_pipeline.settings import PipelineSettings

EXAMPLE = Path(__file__).parents[1] / ".env.example"


def variables(settings: type[EnvironmentSettings]) -> set[str]:
    return {f"{settings.model_config['env_prefix']}{name}".upper() for name in settings.model_fields}


def test_it_names_every_setting_and_no_other() -> None:
    named = {line.lstrip("#").partition("=")[0] for line in EXAMPLE.read_text().splitlines() if "=" in line}
    named = {name for name in named if name.isupper() and " " not in name}
    composed = set(re.findall(r"\$\{([A-Z_]+)", (EXAMPLE.parent / "compose.yaml").read_text()))
    assert named == variables(RedisSettings) | variables(PipelineSettings) | composed


@pytest.mark.parametrize("settings", [RedisSettings, PipelineSettings])
def test_its_values_are_the_defaults(settings: type[EnvironmentSettings], tmp_path: Path) -> None:
    shutil.copy(EXAMPLE, tmp_path / ".env")
    assert settings.load() == settings.model_construct()


def test_copied_as_it_is_it_does_not_name_a_redis_of_ones_own() -> None:
    assert "REDIS_HOST" not in dotenv_values(EXAMPLE)
