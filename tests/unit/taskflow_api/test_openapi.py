"""The OpenAPI document: fresh, complete, and the same wherever it is made."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskflow_api.openapi import document

COMMITTED = Path(__file__).parents[3] / "docs" / "openapi.json"


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            yield f"{method} {path}", operation


def test_the_committed_document_is_fresh() -> None:
    assert json.loads(COMMITTED.read_text()) == document(), (
        "run: uv run taskflow openapi > docs/openapi.json"
    )


def test_it_is_openapi_3_1_and_needs_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {})

    assert document()["openapi"].startswith("3.1")


def test_operations_are_named_once_by_their_functions() -> None:
    names = [operation["operationId"] for _, operation in operations()]

    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)


def test_every_problem_has_an_example_of_its_status() -> None:
    for route, operation in operations():
        for status, response in operation["responses"].items():
            content = response.get("content", {}).get("application/problem+json")
            if not route.partition(" ")[2].startswith("/api/") or int(status) < 400:
                continue
            assert content is not None, (route, status)
            assert content["examples"], (route, status)
            for example in content["examples"].values():
                assert str(example["value"]["status"]) == status


def test_bodies_may_be_refused_in_every_way_that_exists() -> None:
    for route, operation in operations():
        if "requestBody" in operation:
            assert {"400", "413", "415", "422", "503"} <= set(operation["responses"]), route


def test_no_answer_has_room_for_a_hash() -> None:
    schemas = document()["components"]["schemas"]

    assert "UserRead" in schemas
    assert not [name for name, schema in schemas.items() if "hash" in json.dumps(schema)]


def test_what_needs_a_login_says_so() -> None:
    public = {"register", "login", "refresh", "logout"}
    for route, operation in operations():
        if "/api/" in route:
            secured = bool(operation.get("security"))
            assert secured is (operation["operationId"] not in public), route
            assert not secured or "401" in operation["responses"], route
