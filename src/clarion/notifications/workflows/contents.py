"""What a step or a template says on a channel, checked against what the channel takes. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from clarion.allowed import unknown
from clarion.notifications.prepared import texts_in
from clarion.notifications.workflows.faults import convert, wrong
from clarion.templates import reading


def named(content: Mapping[str, Any]) -> frozenset[str]:
    """The stored templates that a content names."""
    texts = (text for _, text, _ in texts_in(content) if "{%" in text)
    return frozenset(each.name for text in texts for each in reading.named(text) if each.name)


def check_content(
    given: Mapping[str, Any], kind: type[Struct], at: str, *, is_whole: bool = True
) -> dict[str, Any]:
    """A content as a channel knows it. Where `html` may be said, `mjml` may be said instead.

    Args:
        given: As it is written.
        kind: Struct of what can be said there.
        at: Where it stands.
        is_whole: Whether nothing may be missing.

    Raises:
        Invalid: A member is wrong, not known there, or missing.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    said = dict(given)
    is_mjml = "mjml" in said and "mjml" not in fields and "html" in fields
    if is_mjml:
        if "html" in said:
            raise wrong(f"{at}/mjml", "`html` and `mjml` say the same: give one")
        said["html"] = said.pop("mjml")
    for name in said:
        if name not in fields:
            raise wrong(f"{at}/{name}", unknown(name, fields))
    if is_whole:
        content: dict[str, Any] = msgspec.to_builtins(convert(said, kind, at))
    else:
        for name, value in said.items():
            convert(value, fields[name].type, f"{at}/{name}")
        content = said
    if is_mjml:
        content["mjml"] = content.pop("html")
    return content


def merge(content: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A content with members of a step in place of its own."""
    same = {"html", "mjml"} if not own.keys().isdisjoint(("html", "mjml")) else ()
    return {**{name: each for name, each in content.items() if name not in same}, **own}
