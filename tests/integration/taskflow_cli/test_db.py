"""`taskflow db`, as it is typed."""

import psycopg
import pytest

from taskflow_cli import main as entry
from taskflow_core import migrations


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        entry.main(["db", *arguments])
    output = capsys.readouterr()
    return int(ended.value.code or 0), output.out, output.err


def test_an_empty_database_is_migrated_and_then_in_order(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, empty_database_url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    head = migrations.head()

    assert run(capsys, "check") == (
        1,
        "",
        f"The schema is at nothing, the newest is {head}: taskflow db migrate\n",
    )
    assert run(capsys, "retain", "--older-than", "1d")[0] == 1
    assert run(capsys, "migrate") == (
        0,
        f"The schema was brought from nothing to {head}.\n",
        "",
    )
    assert run(capsys, "migrate") == (0, f"The schema is at {head}, the newest.\n", "")
    assert run(capsys, "check")[0] == 0


def test_what_differs_from_the_code_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("alter table tasks add column extra text")
        connection.execute("drop index ix_tasks_owner_id")

    code, out, err = run(capsys, "check")

    assert code == 1
    assert "extra" in out
    assert "ix_tasks_owner_id" in out
    assert "2 things" in err


def test_a_schema_of_a_later_release_is_not_touched(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("update alembic_version set version_num = '9999'")

    code, _, err = run(capsys, "migrate")

    assert code == 1
    assert "9999" in err
    assert len(err.splitlines()) == 1


def test_retention_is_told_in_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)

    code, out, _ = run(capsys, "retain", "--older-than", "36h", "--dry-run")

    assert code == 0
    assert out.startswith("Would go: 0 tasks")


def test_a_database_that_is_away_is_one_sentence_without_the_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:1/x")

    for command in (["migrate"], ["check"], ["retain", "--older-than", "1d"]):
        code, _, err = run(capsys, *command)

        assert code == 1
        assert "cannot be reached" in err
        assert "hunter2" not in err
        assert len(err.splitlines()) == 1
