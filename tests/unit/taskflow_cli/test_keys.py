"""The keys that sign tokens on this machine."""

import stat
from pathlib import Path

import pytest

from taskflow_cli.local.data import DataDirectory
from taskflow_cli.local.keys import jwt_keys
from taskflow_core.settings import AuthSettings


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    return DataDirectory.at(tmp_path)


def test_they_are_made_once_and_private(data: DataDirectory) -> None:
    first = jwt_keys(data)

    assert jwt_keys(data) == first
    assert stat.S_IMODE(data.keys.stat().st_mode) == 0o600


def test_they_are_strong_enough_for_the_api(data: DataDirectory) -> None:
    settings = AuthSettings.model_validate({"TASKFLOW_JWT_KEYS": jwt_keys(data)})

    assert [key.kid for key in settings.jwt_keys] == ["local"]


@pytest.mark.parametrize("broken", ["", "local:short", "no key at all"])
def test_what_cannot_be_used_is_replaced(data: DataDirectory, broken: str) -> None:
    data.keys.write_text(broken)

    assert jwt_keys(data) not in {"", broken}


def test_no_two_machines_have_the_same(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()

    assert jwt_keys(DataDirectory.at(tmp_path / "a")) != jwt_keys(DataDirectory.at(tmp_path / "b"))
