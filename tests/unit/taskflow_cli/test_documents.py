"""Generated documentation: complete, and as committed."""

from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from taskflow_cli import documents
from taskflow_core import settings
from taskflow_core.telemetry import metrics

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("configuration.md", documents.settings_markdown()),
        ("metrics.md", documents.metrics_markdown()),
    ],
)
def test_it_is_committed_as_the_code_says_it_now(name: str, text: str) -> None:
    assert (DOCS / name).read_text() == text, "run: make generate"


def test_every_class_of_settings_is_in_it() -> None:
    classes = {
        cls
        for cls in vars(settings).values()
        if isinstance(cls, type)
        and issubclass(cls, BaseSettings)
        and cls.__module__ == settings.__name__
        and not cls.__name__.startswith("_")
    }

    assert classes == set(documents._READERS)


def test_every_variable_is_described() -> None:
    for cls in documents._READERS:
        for name, field in documents._fields(cls):
            assert field.description, name


def test_every_class_of_metrics_is_in_it() -> None:
    classes = {
        cls
        for name, cls in vars(metrics).items()
        if isinstance(cls, type) and name.endswith("Metrics") and cls.__module__ == metrics.__name__
    }

    assert classes == set(documents._COMPONENTS)


def test_series_have_the_names_that_prometheus_sees() -> None:
    text = documents.metrics_markdown()

    assert "| `taskflow_http_requests_total` | counter | `route`, `method`, `status` |" in text
    assert "| `taskflow_task_run_seconds` | histogram |" in text


def test_defaults_and_secrets_are_shown_for_what_they_are() -> None:
    text = documents.settings_markdown()

    assert "| `DATABASE_URL` | secret | required |" in text
    assert "| `TASKFLOW_PORT` | whole number | `8000` |" in text
    assert "| `TASKFLOW_LOG` | `json` or `console` |  |" in text
    assert "| `TASKFLOW_HTTP_ALLOW_PRIVATE` | true or false | `false` |" in text
