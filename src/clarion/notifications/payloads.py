"""What a workflow says of its payload: JSON Schema, which whoever writes workflows writes.

A schema is read as text from a stranger is: it makes this server fetch nothing, and what checking by it may cost is
known before it is kept.
"""

from itertools import islice
from typing import Any, Final
from urllib.parse import unquote

import jsonschema_rs
import msgspec

from clarion.errors import Fault, Invalid, pointer_step

FAULTS: Final = 20  # of a payload that are told
WORK: Final = 1_000_000
"""Characters of schema times characters of payload up to which all faults are looked for: 0.2 s at worst. The first alone is found at once."""
WRITTEN_OUT = 5_000  # objects and lists of a schema in which each reference is what it refers to


class Schema:
    """What payloads have to meet.

    Args:
        schema: The JSON Schema, whose cost is known.

    Raises:
        ValueError, jsonschema_rs.ValidationError: It is none.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        # A reference to an address or a file would be fetched, by this process, before anybody has said yes to it. And the default engine for
        # patterns goes back a million steps before it gives up: 0.04 s for each name of a payload.
        self._checks = jsonschema_rs.validator_for(
            schema, offline=True, pattern_options=jsonschema_rs.RegexOptions()
        )
        self._size = len(msgspec.json.encode(schema))

    def faults(self, payload: dict[str, Any]) -> list[Fault]:
        """What is wrong with a payload: the first 20 faults, or one where it and the schema are large."""
        try:
            self._checks.validate(payload)
        except jsonschema_rs.ValidationError as exc:
            # All faults are made before one is seen: a list of wrong items, each with thousands of values to choose from, would fill the memory.
            if self._size * len(msgspec.json.encode(payload)) > WORK:
                return [_fault(exc)]
            return [_fault(each) for each in islice(self._checks.iter_errors(payload), FAULTS)]
        return []


def read_schema(schema: dict[str, Any] | None) -> Schema | None:
    """What checks payloads by a JSON Schema; None: any object will do.

    Raises:
        Invalid: It is no JSON Schema, refers to something outside of itself, would take too long to check, or has a pattern that looks ahead or
            back, or refers to a group of its own: those take no time that could be known.
    """
    if schema is None:
        return None
    _check_cost(schema)
    try:
        return Schema(schema)
    except (jsonschema_rs.ValidationError, ValueError) as exc:
        raise _wrong(f"no JSON Schema: {str(exc).splitlines()[0][:200]}") from exc


def _check_cost(schema: dict[str, Any]) -> None:
    """Refuse what takes exponential time: a few references that each lead to two others, or twice to itself.

    Payloads are checked where everybody waits for it. What remains takes time in proportion to the payload.
    """
    room, loops = WRITTEN_OUT, 0
    ahead: list[tuple[Any, frozenset[str]]] = [(schema, frozenset("#"))]
    while ahead:
        part, within = ahead.pop()
        if (room := room - 1) < 0:
            raise _wrong(f"with its references written out it has more than {WRITTEN_OUT} parts")
        if isinstance(part, dict):
            if part.keys() & {"$dynamicRef", "$recursiveRef"}:
                raise _wrong("refers by `$dynamicRef` or `$recursiveRef`: only `$ref` is taken")
            ref = part.get("$ref")
            if isinstance(ref, str) and ref in within:
                if (loops := loops + 1) > 1:
                    raise _wrong("refers to itself in more than one place: one is allowed")
            elif isinstance(ref, str) and ref.startswith("#"):
                if isinstance(target := _target(schema, ref), dict):
                    ahead.append((target, within | {ref}))
        values = part.values() if isinstance(part, dict) else part
        ahead.extend((each, within) for each in values if isinstance(each, dict | list))


def _target(schema: dict[str, Any], ref: str) -> Any:
    """What a JSON pointer (RFC 6901, as the fragment of an address) leads to."""
    found: Any = schema
    for step in ref[1:].split("/")[1:]:
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(name)] if isinstance(found, list) else found[name]
        except (LookupError, ValueError, TypeError):
            raise _wrong(f"{ref[:100]!r} leads nowhere") from None
    if (ref != "#" and not ref.startswith("#/")) or not isinstance(found, dict | bool):
        raise _wrong(f"{ref[:100]!r} leads to no schema: write #/$defs/name")
    return found


def _fault(error: Any) -> Fault:
    way = "".join(f"/{pointer_step(str(step))}" for step in error.instance_path)
    return Fault(f"/payload{way}", error.message[:200])


def _wrong(detail: str) -> Invalid:
    return Invalid("this is no workflow", faults=[Fault("/payload", detail)])
