"""Entity tags: what clients send, what it means."""

import pytest

from taskflow_api.tasks.preconditions import etag, expected_versions, is_known
from taskflow_core.errors import ValidationFailed


def test_a_tag_is_the_quoted_version() -> None:
    assert etag(12) == '"12"'


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        (None, None),
        ("*", None),
        (" * ", None),
        ('"3"', [3]),
        ('"3", "4"', [3, 4]),
        ('"3",\t"4" ,"5"', [3, 4, 5]),
        ('W/"3"', []),  # If-Match compares strongly
        ('W/"3", "4"', [4]),
        ('"abc"', []),
        ('"03"', []),
        ('"0"', []),
        ('"-1"', []),
        ('"99999999999999999999"', []),
        ('""', []),
        ('"3,4"', []),
    ],
)
def test_if_match_names_versions(header: str | None, versions: list[int] | None) -> None:
    assert expected_versions(header) == versions


@pytest.mark.parametrize(
    "header",
    ["", "3", '"3', '3"', '"3" "4"', '"3",', '*, "3"', 'w/"3"', '"a\x00"', '"3"' * 400, '"٣"'],
)
def test_an_if_match_that_makes_no_sense_is_refused(header: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        expected_versions(header)

    assert [error.pointer for error in refused.value.errors] == ["/header/If-Match"]


@pytest.mark.parametrize("header", ['"3"', 'W/"3"', '"2", "3"', "*", 'W/"2" , W/"3"'])
def test_a_known_version_is_recognised_weakly(header: str) -> None:
    assert is_known(header, 3)


@pytest.mark.parametrize("header", [None, "", '"2"', '"33"', "3", '"3', "garbage", '"3"' * 400])
def test_anything_else_is_not_known(header: str | None) -> None:
    assert not is_known(header, 3)
