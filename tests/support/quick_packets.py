"""Arguments of events and answers, with bytes beside them: what the quick client reads and writes, by code of its own."""

import json
from typing import Any

Event = list[Any]


def parse(rest: str, parts: list[bytes]) -> tuple[str, Event]:
    """Id and arguments of an EVENT or ACK."""
    start = rest.index("[")
    data = json.loads(rest[start:])
    return rest[:start], _unpack(data, parts) if parts else data


def pack(value: Any, parts: list[bytes]) -> Any:
    """The value with placeholders for bytes, which go to `parts`."""
    if isinstance(value, bytes):
        parts.append(value)
        return {"_placeholder": True, "num": len(parts) - 1}
    if isinstance(value, list | tuple):
        return [pack(each, parts) for each in value]
    return value


def _unpack(value: Any, parts: list[bytes]) -> Any:
    if isinstance(value, list):
        return [_unpack(each, parts) for each in value]
    if isinstance(value, dict) and value.get("_placeholder"):
        return parts[value["num"]]
    return value
