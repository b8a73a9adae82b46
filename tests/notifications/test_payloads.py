"""Schemas of payloads are read as text from a stranger."""

from pathlib import Path
from typing import Any

import pytest

from clarion.errors import Invalid
from tests.notifications.office import ANN, BELL, Office, office

__all__ = ["office"]


async def test_a_schema_makes_the_server_fetch_nothing(office: Office, tmp_path: Path) -> None:
    """What refers to an address or a file is refused when it is put; what refers to itself, or to JSON Schema, is read."""
    there = tmp_path / "there.json"
    there.write_text('{"type": "object"}')
    for outside in (there.as_uri(), "http://127.0.0.1:1/there.json"):
        with pytest.raises(Invalid) as refused:
            await office.workflow(BELL, payload={"properties": {"n": {"$ref": outside}}})
        [fault] = refused.value.faults
        assert fault.pointer == "/payload"
        assert "Retrieval is disabled" in fault.detail
    known: dict[str, Any] = {"$ref": "#/$defs/n", "$defs": {"n": {"type": "object"}}}
    await office.workflow(BELL, payload=known)
    await office.trigger(ANN, payload={"n": 7})
    assert await office.inbox("ann") == ["Hello Ann"]
