"""Numbers as people read them."""

import pytest

from taskflow_cli.screen import console, count, duration


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 ms"),
        (0.0034, "3 ms"),
        (0.999, "999 ms"),
        (1.0, "1.0 s"),
        (4.12, "4.1 s"),
        (42.9, "42 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (7_500, "2 h 5 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations_have_the_unit_that_fits(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_counts_have_their_thousands_marked() -> None:
    assert count(20_000) == "20,000"


def test_no_color_is_respected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")

    console().print("[red]x[/red]")

    assert "31" not in capsys.readouterr().out
