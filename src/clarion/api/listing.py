"""Long lists as the caller wants them: NDJSON or CSV, made while they are sent."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from clarion.api.layer import Reply
from clarion.api.lines import CSV, NDJSON
from clarion.api.streaming import Stream, as_csv, ndjson

Format = Annotated[
    Literal["ndjson", "csv"], Meta(description="A JSON object on each line, or CSV with a head")
]


class FormatQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """How to tell it."""

    format: Format = "ndjson"


def streamed(
    items: AsyncGenerator[Any, None], kind: type[Struct], format: Literal["ndjson", "csv"]
) -> Reply[Stream]:
    """The answer.

    Args:
        items: Structs of that kind.
        kind: Its members are the columns.
        format: As the query has it.
    """
    if format == "csv":
        columns = [field.encode_name for field in msgspec.structs.fields(kind)]
        return Reply(as_csv(items, columns), media_type=CSV)
    return Reply(ndjson(items), media_type=NDJSON)
