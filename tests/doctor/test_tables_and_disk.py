"""What is wrong with the store and with the disks."""

from __future__ import annotations

from pathlib import Path

from tutormax_pipeline.doctor import disk, tables
from tutormax_pipeline.findings import Severity
from tutormax_pipeline.settings import PipelineSettings
from tutormax_pipeline.store import Store


def checks(store: Store, *, deep: bool = False) -> list[str]:
    return [one.check for one in tables.findings(store, deep=deep)]


def test_a_store_as_it_is_made_has_nothing_wrong(store: Store) -> None:
    assert checks(store, deep=True) == []


def test_a_store_that_others_can_read_is_found_with_the_command_that_mends_it(
    store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "store.db"
    file.chmod(0o644)
    (finding,) = tables.findings(store, deep=False)
    assert finding.check == "store_permissions"
    assert finding.remedy == f"chmod 600 '{file}'"


def test_a_store_without_a_log_of_its_own_is_found() -> None:
    with Store.open("sqlite:///:memory:") as store:
        assert checks(store) == ["journal_mode"]
        assert tables.database_file(store) is None


def test_damage_is_found_only_when_looked_for(tmp_path: Path) -> None:
    file = tmp_path / "damaged.db"
    Store.open(f"sqlite:///{file}").close()
    with file.open("r+b") as damaged:
        damaged.seek(2 * 8_192)
        damaged.write(b"\xff" * 8_192)
    with Store(f"sqlite:///{file}") as store:
        assert checks(store) == []
        (finding,) = tables.findings(store, deep=True)
    assert (finding.check, finding.severity) == ("damaged", Severity.ERROR)


def test_a_full_disk_is_found_once_for_all_folders_on_it(tmp_path: Path) -> None:
    settings = PipelineSettings.load(home=tmp_path / "home")
    assert list(disk.findings(settings, least_free_bytes=2**60)) == []
    settings.redis_folder.mkdir(parents=True, mode=0o700)
    settings.home.chmod(0o700)
    (finding,) = disk.findings(settings, least_free_bytes=2**60)
    assert (finding.check, finding.severity) == ("disk_room", Severity.ERROR)
    assert list(disk.findings(settings, least_free_bytes=1)) == []


def test_a_home_that_others_can_look_into_is_found(tmp_path: Path) -> None:
    settings = PipelineSettings.load(home=tmp_path / "home")
    settings.home.mkdir()
    settings.home.chmod(0o750)
    (finding,) = disk.findings(settings, least_free_bytes=1)
    assert (finding.check, finding.remedy) == ("home_permissions", f"chmod 700 '{settings.home}'")
