"""`If-Match` and `If-None-Match` (RFC 9110 §13.1) for tags that are versions."""

import re

from taskflow_core.errors import FieldError, ValidationFailed

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_LIST = re.compile(rf"[ \t]*{_TAG.pattern}[ \t]*(,[ \t]*{_TAG.pattern}[ \t]*)*")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")  # shorter than PostgreSQL's largest int
_MAX_CHARS = 1_000


def etag(version: int) -> str:
    """Return the (strong) entity tag of a version."""
    return f'"{version}"'


def expected_versions(if_match: str | None) -> list[int] | None:
    """Return the versions that `If-Match` allows; None: any.

    Weak tags never match here (strong comparison), nor do tags that we never gave. Raises
    `ValidationFailed` when the header is not a list of entity tags: to ignore it could lose an update.
    """
    if if_match is None or if_match.strip(" \t") == "*":
        return None
    if len(if_match) > _MAX_CHARS or not _LIST.fullmatch(if_match):
        raise ValidationFailed(
            errors=[FieldError("/header/If-Match", 'must be an ETag of this task, such as "3"')]
        )
    return [
        int(tag) for weak, tag in _TAG.findall(if_match) if not weak and _VERSION.fullmatch(tag)
    ]


def is_known(if_none_match: str | None, version: int) -> bool:
    """Tell whether the client holds this version already. A header that makes no sense is ignored."""
    if if_none_match is None or len(if_none_match) > _MAX_CHARS:
        return False
    if if_none_match.strip(" \t") == "*":
        return True
    if not _LIST.fullmatch(if_none_match):
        return False
    return str(version) in (tag for _, tag in _TAG.findall(if_none_match))
