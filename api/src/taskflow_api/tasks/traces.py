"""The `traceparent` header (W3C Trace Context §3.2), which a task carries on to its worker."""

import re

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MAX_CHARS = 200


def valid_traceparent(header: str | None) -> str | None:
    """Return the header in version 00's form, or None if it is not valid and must be ignored.

    A later version may have more fields; of it, the four that are known are used (§3.2.2.3).
    """
    if header is None or len(header) > _MAX_CHARS:
        return None
    found = _TRACEPARENT.fullmatch(header)
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    if version == "ff" or set(trace) == {"0"} or set(span) == {"0"} or (version == "00" and more):
        return None
    return f"00-{trace}-{span}-{flags}"
