"""What is said of an address that holds a password."""

from __future__ import annotations

import pytest

from tests.split.conftest import NASTY
from tutormax_pipeline.store import Store, StoreError
from tutormax_pipeline.store.address import read_address, shown


@pytest.mark.parametrize("password", [NASTY, "1@hunter2:5/x", "hunter2@hunter2", "hunter2@x/y"])
def test_nothing_is_said_of_an_address_whose_password_breaks_it(password: str) -> None:
    with pytest.raises(StoreError, match=r"^TUTORMAX_STORE_URL: cannot be read; write") as raised:
        Store(f"postgresql://user:{password}@host.example:5432/database")
    assert not [word for word in ("hunter2", "w%rd", "host.example") if word in str(raised.value)]
    assert raised.value.__cause__ is None


def test_a_port_that_is_none_is_not_quoted() -> None:
    with pytest.raises(StoreError) as raised:
        read_address("postgresql://user@12:hunter2/database")
    assert "hunter2" not in str(raised.value)


def test_an_address_is_shown_without_its_secrets() -> None:
    address = "postgresql://user:hunter2%40@host/database?sslmode=require&sslpassword=hunter2"
    assert "hunter2" not in shown(address)
    assert read_address(address).password == "hunter2@"
    assert read_address("sqlite:////srv/a@b.db").database == "/srv/a@b.db"
