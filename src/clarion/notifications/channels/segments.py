"""Segments of a text message: what a carrier counts, and charges. Pure. Source: 3GPP TS 23.038 (alphabets), 23.040 (concatenation)."""

from typing import Final, Literal

from msgspec import Struct

# The default alphabet, and what needs two septets of it.
_GSM7: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_TWICE: Final = frozenset("\f^{}\\[~]|€")


class Segments(Struct, frozen=True):
    """How a text is sent: its alphabet, the units of it, the segments."""

    alphabet: Literal["GSM-7", "UCS-2"]
    units: int
    segments: int


def segments(text: str) -> Segments:
    """Count a text. One character outside of GSM-7 makes all of it UCS-2; a pair of units is never cut in two."""
    if all(char in _GSM7 or char in _GSM7_TWICE for char in text):
        return _counted("GSM-7", [2 if char in _GSM7_TWICE else 1 for char in text], 160, 153)
    return _counted("UCS-2", [2 if ord(char) > 0xFFFF else 1 for char in text], 70, 67)


def _counted(
    alphabet: Literal["GSM-7", "UCS-2"], sizes: list[int], alone: int, joined: int
) -> Segments:
    units = sum(sizes)
    if units <= alone:
        return Segments(alphabet, units, 1)
    count, room = 1, joined
    for size in sizes:
        if size > room:
            count, room = count + 1, joined
        room -= size
    return Segments(alphabet, units, count)
