"""Time zones by their names in the IANA's data: which there are, and what somebody may have meant. Pure but for the data on disk."""

import difflib
import zoneinfo
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

RECIPIENT: Final = "recipient"
"""In the place of a zone: each recipient's own."""

# What a machine calls its own time is another zone on the next one.
_NO_PLACES: Final = frozenset({"localtime", "Factory", "posixrules"})

_GUESSED: Final = 6
"""Of what is shorter, such as CEST, what looks like it is another zone."""


@lru_cache(1)
def zone_names() -> frozenset[str]:
    """All zones that there are here."""
    return frozenset(zoneinfo.available_timezones() - _NO_PLACES)


def check_zone(name: str) -> None:
    """Refuse what is no zone.

    Raises:
        ValueError: Says so, and which one may have been meant.
    """
    if name not in zone_names():
        meant = _meant(name[:64])
        raise ValueError(
            f"{name[:64]!r} is no time zone: "
            + (f"did you mean {meant!r}?" if meant else "they are named like 'Europe/Berlin'")
        )


@lru_cache(1)
def zone_data() -> str:
    """Which edition of the zone data is used here, such as `2026a`: the system's, or where it has none that of the package `tzdata`.

    A process reads a zone once: another edition counts from the next start on.
    """
    for folder in zoneinfo.TZPATH:
        try:
            with (Path(folder) / "tzdata.zi").open() as file:
                return file.readline().removeprefix("# version").strip()
        except OSError:
            continue
    return version("tzdata")


def _meant(name: str) -> str | None:
    wanted = name.strip().replace(" ", "_").casefold()
    by_text = {each.casefold(): each for each in sorted(zone_names())}
    if wanted in by_text:
        return by_text[wanted]
    for text, each in by_text.items():
        if text.rpartition("/")[2] == wanted:
            return each  # "Berlin"
    if len(wanted) < _GUESSED:
        return None
    close = difflib.get_close_matches(wanted, by_text, n=1, cutoff=0.7)
    return by_text[close[0]] if close else None
