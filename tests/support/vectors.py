"""Conformance vectors: lines of `tests/data/socketio-vectors`, and the JavaScript values in them as Python's."""

import base64
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "data" / "socketio-vectors"


def lines(name: str) -> Iterator[dict[str, Any]]:
    """The lines of one file."""
    with (FOLDER / f"{name}.jsonl").open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def value(tagged: Any) -> Any:
    """A value with its tags taken off: bytes are bytes, undefined is absent or None, as in an array of JavaScript."""
    if isinstance(tagged, list):
        return [value(item) for item in tagged]
    if not isinstance(tagged, dict):
        return tagged
    match tagged:
        case {"$bytes": text}:
            return base64.b64decode(text)
        case {"$undefined": True}:
            return None
        case {"$date": text}:
            return datetime.fromisoformat(text)
        case {"$number": text}:
            return float(text)
        case {"$nested_arrays": depth}:
            nested: list[Any] = []
            for _ in range(depth - 1):
                nested = [nested]
            return nested
    return {key: value(item) for key, item in tagged.items() if item != {"$undefined": True}}


def message(frame: dict[str, Any]) -> str | bytes:
    """One WebSocket message of a vector."""
    raw = base64.b64decode(frame["bytes_b64"])
    return raw.decode() if frame["kind"] == "text" else raw
