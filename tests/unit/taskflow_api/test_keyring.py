"""Derived keys and the cursors they sign."""

from uuid import UUID

import pytest

from taskflow_api.cursors import CursorRefused, Cursors
from taskflow_api.keyring import Keyring
from taskflow_core.ids import new_id
from tests.support.api import auth_settings, key

OLD, NEW = key("old"), key("new")


def keyring(*keys: object) -> Keyring:
    return Keyring(auth_settings(TASKFLOW_JWT_KEYS=keys))


def test_each_purpose_has_keys_of_its_own() -> None:
    ring = keyring(NEW)

    macs = {ring.digest(purpose, b"m") for purpose in ("place", "cursor", "refresh")}

    assert len(macs) == 3
    assert NEW.material() not in macs


def test_the_first_key_makes_and_all_verify() -> None:
    made_before = keyring(OLD).digest("cursor", b"m")
    during = keyring(NEW, OLD)

    assert during.verifies("cursor", b"m", made_before)
    assert during.digest("cursor", b"m") == keyring(NEW).digest("cursor", b"m")
    assert not keyring(NEW).verifies("cursor", b"m", made_before)


def test_a_mac_may_be_shortened_but_not_to_nothing() -> None:
    ring = keyring(NEW)
    mac = ring.digest("cursor", b"m")

    assert ring.verifies("cursor", b"m", mac[:16])
    assert not ring.verifies("cursor", b"m", mac[:15])
    assert not ring.verifies("cursor", b"m", b"")


def test_a_cursor_comes_back_as_it_was() -> None:
    cursors, position = Cursors(keyring(NEW)), new_id()

    cursor = cursors.write([position], filters=["tasks"])

    assert cursors.read(cursor, tuple[UUID], filters=["tasks"]) == (position,)
    assert "=" not in cursor


def test_a_cursor_of_another_list_is_refused() -> None:
    cursors = Cursors(keyring(NEW))
    cursor = cursors.write(["x"], filters={"a": 1, "b": 2})

    assert cursors.read(cursor, list[str], filters={"b": 2, "a": 1}) == ["x"]
    with pytest.raises(CursorRefused):
        cursors.read(cursor, list[str], filters={"a": 1})


@pytest.mark.parametrize("cursor", ["", "A", "AAAA", "é", "=", "A" * 1001, "A" * 64, "\ud800"])
def test_a_made_up_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(CursorRefused):
        Cursors(keyring(NEW)).read(cursor, list[str], filters=[])


def test_every_flipped_character_is_noticed() -> None:
    cursors = Cursors(keyring(NEW))
    cursor = cursors.write(["2030-01-01", "x"], filters=[])

    for place, char in enumerate(cursor):
        flipped = cursor[:place] + ("A" if char != "A" else "B") + cursor[place + 1 :]
        try:
            assert cursors.read(flipped, list[str], filters=[]) == ["2030-01-01", "x"]
        except CursorRefused:
            continue
        # base64's last character has bits that say nothing
        assert place == len(cursor) - 1
