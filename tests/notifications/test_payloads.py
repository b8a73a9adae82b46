"""Schemas of payloads are read as text from a stranger."""

from pathlib import Path
from typing import Any

import pytest

from clarion.errors import Invalid
from clarion.notifications.payloads import read_schema
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


def _doubling(levels: int) -> dict[str, Any]:
    """Each level refers to the next one twice, `levels` deep."""
    defs: dict[str, Any] = {"0": {"type": "integer"}}
    for n in range(1, levels):
        defs[str(n)] = {"anyOf": [{"$ref": f"#/$defs/{n - 1}"}] * 2}
    return {"$defs": defs, "properties": {"n": {"$ref": f"#/$defs/{levels - 1}"}}}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (_doubling(40), "written out"),
        ({"anyOf": [{"properties": {"a": {"$ref": "#"}}}] * 2}, "more than one place"),
        ({"properties": {"n": {"$dynamicRef": "#n"}}}, "only `$ref`"),
        ({"properties": {"n": {"$ref": "#n"}}}, "leads to no schema"),
        ({"properties": {"n": {"$ref": "#/$defs/n"}}}, "leads nowhere"),
        ({"patternProperties": {"^(?:(?=a)a+)+$": {}}}, "regex"),
        ({"properties": {"n": {"pattern": r"^(a+)\1$"}}}, "regex"),
    ],
)
def test_what_a_schema_costs_is_known_before_it_is_kept(schema: dict[str, Any], why: str) -> None:
    """Forty references can ask for a trillion checks: refused, with the reason; a tree, and a few levels, are read."""
    with pytest.raises(Invalid) as refused:
        read_schema(schema)
    [fault] = refused.value.faults
    assert why in fault.detail
    tree = {"type": "object", "properties": {"replies": {"items": {"$ref": "#"}}}}
    assert read_schema(tree).faults({"replies": [{"replies": []}]}) == []
    assert read_schema(_doubling(6)).faults({"n": 1}) == []


@pytest.mark.parametrize(
    "items", [{"enum": list(range(4_000))}, {"anyOf": [{"const": f"a{n}"} for n in range(2_000)]}]
)
def test_what_is_wrong_with_a_large_payload_is_said_at_once(items: dict[str, Any]) -> None:
    """Twenty thousand items that are none of thousands of values: the first is told, and not a hundred million faults are made."""
    schema = read_schema({"properties": {"a": {"items": items}}})
    assert schema is not None
    [fault] = schema.faults({"a": [-1] * 20_000})
    assert fault.pointer == "/payload/a/0"
    assert len(schema.faults({"a": [-1] * 3})) == 3


def test_patterns_take_time_by_the_text_alone() -> None:
    """Names and texts that would be tried in all ways are tried in one."""
    schema = read_schema(
        {"patternProperties": {"^(a+)+$": {}}, "additionalProperties": {"pattern": "^(b+)+$"}}
    )
    assert schema is not None
    payload: dict[str, Any] = {f"{'a' * 60}{n}": "b" * 1_000 for n in range(1_000)}
    assert schema.faults(payload) == []
