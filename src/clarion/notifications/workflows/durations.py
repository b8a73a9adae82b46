"""Spans of time as people write them: `90s`, `5m`, `1h30m`, `2d`, `1w`. Pure."""

import re
from typing import Final

_UNITS: Final = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}  # s
_SPAN = re.compile(r"(?:(\d{1,9})w)?(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?")
LONGEST_S: Final = 365 * 86_400
"""No workflow waits longer than a year: what is due later belongs into a schedule."""


def seconds(text: str) -> int:
    """A span in seconds, 1 to a year.

    Raises:
        ValueError: It is not one; says why.
    """
    found = _SPAN.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        raise ValueError(f"{text[:40]!r} is no span of time: write 90s, 5m, 1h30m, 2d, 1w")
    total = sum(int(n) * unit for n, unit in zip(found.groups(), _UNITS.values(), strict=True) if n)
    if not 1 <= total <= LONGEST_S:
        raise ValueError(f"{text[:40]!r}: a span is at least a second and at most 365 days")
    return total
