"""The traceparent header, after the examples of W3C Trace Context."""

import pytest

from taskflow_api.tasks.traces import valid_traceparent

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.mark.parametrize("flags", ["00", "01", "ff"])
def test_a_valid_header_is_kept(flags: str) -> None:
    header = f"00-{TRACE}-{SPAN}-{flags}"

    assert valid_traceparent(header) == header


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert valid_traceparent(f"cc-{TRACE}-{SPAN}-01") == f"00-{TRACE}-{SPAN}-01"
    assert valid_traceparent(f"cc-{TRACE}-{SPAN}-01-more.to-come") == f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "garbage",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01 ",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"cc-{TRACE}-{SPAN}-01-" + "x" * 200,
    ],
)
def test_anything_else_is_ignored(header: str | None) -> None:
    assert valid_traceparent(header) is None
