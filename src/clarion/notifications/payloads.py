"""What a workflow says of its payload: JSON Schema, which whoever writes workflows writes.

A schema is read as text from a stranger is: it makes this server fetch nothing, and what checking by it may cost is
known before it is kept.
"""

from typing import Any

import jsonschema_rs

from clarion.errors import Fault, Invalid


def read_schema(schema: dict[str, Any] | None) -> Any:
    """What checks payloads by a JSON Schema; None: any object will do.

    Raises:
        Invalid: It is no JSON Schema, or refers to something outside of itself.
    """
    if schema is None:
        return None
    try:
        # A reference to an address or a file would be fetched, by this process, before anybody has said yes to it.
        return jsonschema_rs.validator_for(schema, offline=True)
    except (jsonschema_rs.ValidationError, ValueError) as exc:
        raise _wrong(f"no JSON Schema: {str(exc).splitlines()[0][:200]}") from exc


def _wrong(detail: str) -> Invalid:
    return Invalid("this is no workflow", faults=[Fault("/payload", detail)])
