"""What pydantic found wrong, as people may read it: where and why, never what was there."""

from pydantic import ValidationError

_SHOWN = 5  # problems that are listed
_LOCATION_MAX = 100  # characters


def problems(error: ValidationError) -> str:
    """Return one line: JSON pointers (RFC 6901; `/` is the whole) and pydantic's messages."""
    details = error.errors(include_url=False, include_input=False, include_context=False)
    shown = [f"{_pointer(each['loc'])}: {each['msg']}" for each in details[:_SHOWN]]
    more = len(details) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _pointer(location: tuple[int | str, ...]) -> str:
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return f"/{'/'.join(parts)}"[:_LOCATION_MAX]
