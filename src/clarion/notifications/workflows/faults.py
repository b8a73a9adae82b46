"""What is wrong with something that was written, by its place. Pure."""

from typing import Any

import msgspec

from clarion.errors import Fault, Invalid


def convert(given: Any, kind: Any, at: str) -> Any:
    """A value as one of that kind.

    Raises:
        Invalid: It is none; the fault stands in or under `at`.
    """
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as exc:
        fault = Fault.of(exc, kind)
        raise Invalid(fault.detail, faults=[Fault(f"{at}{fault.pointer}", fault.detail)]) from exc


def wrong(at: str, detail: str) -> Invalid:
    """What to raise for one fault: the pointer to it (`/steps/2/if`), and what is wrong there."""
    return Invalid(detail, faults=[Fault(at, detail)])
