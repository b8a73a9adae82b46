"""What of a content is the same for everybody, judged when it is saved: it would fail for each of them. Pure.

A text with a template in it is known only when it is rendered; of an address its beginning is (`javascript:{{ … }}`).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct, inspect

from clarion.errors import Fault, OutboundRefused, pointer_step
from clarion.notifications.prepared import texts_in
from clarion.notifications.workflows.definition import LINKS, Http

# In place of what a template makes, where something must be; base64, too.
_SOMETHING: Final = "some"
MayCall = Callable[[str], None]
"""Raises `OutboundRefused` for an address that could never be called."""
_SOMEWHERE: Final = "https://some.example/"
_EITHER: Final = ("text", "html", "content")  # of which a struct wants one
_WEB: Final = re.compile(r"https?(:|$)", re.IGNORECASE)
_LINKS: Final = re.compile(rf"\b{LINKS}\b")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.1


def wrong_constants(content: Mapping[str, Any], said: type[Struct], at: str) -> list[Fault]:
    """What nobody could be told.

    Args:
        content: What is said on a channel, as it is written, whole.
        said: What it must be once it is rendered.
        at: Where it stands.
    """
    faults = [Fault(f"{at}{place}", why) for place, why in broken_lines(content)]
    shape = inspect.type_info(said)
    assert isinstance(shape, inspect.StructType), "a channel says a struct"
    known = {("html" if name == "mjml" else name): each for name, each in content.items()}
    try:
        msgspec.convert(_constant(known, shape), said)
    except msgspec.ValidationError as exc:
        fault = fault_of(exc, said)
        faults.append(Fault(f"{at}{fault.pointer}", fault.detail))
    return faults


def fault_of(error: msgspec.ValidationError, said: type[Struct]) -> Fault:
    """What is wrong with what a channel says: a struct's word on several members together begins with the one that is meant."""
    fault = Fault.of(error, said)
    name, colon, why = fault.detail.partition(": ")
    names = (field.encode_name for field in msgspec.structs.fields(said))
    return Fault(f"/{name}", why) if colon and not fault.pointer and name in names else fault


def names_links(content: Mapping[str, Any]) -> bool:
    """Whether a content speaks of the links that lead through this server."""
    return any("{" in text and _LINKS.search(text) for _, text, _ in texts_in(content))


def wrong_url(url: str, at: str, check: MayCall) -> list[Fault]:
    """Whether an address of the outside, written without a template, could never be called."""
    if "{" in url or not url:
        return []
    try:
        check(url)
    except OutboundRefused as exc:
        return [Fault(at, exc.message)]
    return []


def wrong_fetch(act: Http, at: str, check: MayCall) -> list[Fault]:
    """What of a step that fetches data nobody could fetch."""
    faults = [Fault(f"{at}{place}", why) for place, why in broken_lines({"headers": act.headers})]
    head, brace, _ = act.url.partition("{")
    if not brace:
        faults += wrong_url(act.url, f"{at}/url", check)
    elif head and not _WEB.match(head):
        faults.append(Fault(f"{at}/url", "Expected an address: https://…"))
    faults += [
        Fault(f"{at}/headers/{pointer_step(name)}", "is no name of a header")
        for name in act.headers or ()
        if not _TOKEN.fullmatch(name)
    ]
    return faults


def broken_lines(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Texts of one line that are written on several: each one's pointer, and what is wrong."""
    for place, text, kind in texts_in(content):
        if kind == "line" and "{" not in text and len(text.strip().splitlines()) > 1:
            yield place, "is of one line: there is an end of line in it"


def _constant(given: Mapping[str, Any], shape: inspect.StructType) -> dict[str, Any]:
    """The members of which something is known."""
    found: dict[str, Any] = {}
    for field in shape.fields:
        name = field.encode_name
        if name not in given:
            continue
        value = given[name]
        if isinstance(value, str) and "{" in value:
            if name.endswith("url"):
                found[name] = (value.partition("{")[0].strip() or _SOMEWHERE) + _SOMETHING
            elif field.required or name in _EITHER:
                found[name] = _SOMETHING
            continue
        each = _item(field.type)
        if isinstance(value, list) and isinstance(each, inspect.StructType):
            found[name] = [_constant(item, each) for item in value]
        elif not _has_template(value):
            found[name] = value
    return found


def _item(kind: inspect.Type) -> inspect.Type | None:
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind.item_type if isinstance(kind, inspect.ListType) else None


def _has_template(value: Any) -> bool:
    return any("{" in text for _, text, _ in texts_in(value))
