"""Durations as handler authors write them: `"30s"`, `"1m30s"`, a number of seconds, a timedelta."""

import math
import re
from datetime import timedelta

type Duration = str | float | timedelta

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_LONGEST_S = 366 * 86_400.0


def seconds(duration: Duration) -> float:
    """Return a duration in seconds, 0 to a year. Raises `ValueError` or `TypeError`: how to write it."""
    if isinstance(duration, timedelta):
        value = duration.total_seconds()
    elif isinstance(duration, str):
        value = _parse(duration)
    elif isinstance(duration, bool) or not isinstance(duration, int | float):
        raise TypeError('must be a string such as "30s", a number of seconds or a timedelta')
    else:
        value = float(duration)
    if not (math.isfinite(value) and 0 <= value <= _LONGEST_S):
        raise ValueError("must be between 0 and 366 days")
    return value


def _parse(text: str) -> float:
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError('must be written like "500ms", "30s", "5m", "1h30m" or "2d"')
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
