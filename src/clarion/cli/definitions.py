"""What `clarion apply` and `clarion pull` speak of with the server: definitions of four kinds, as they are judged, kept and put."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from clarion.client import ApiError, Checked, Client, Judged, calls
from clarion.client.workflow_calls import Kind

KINDS: Final[tuple[Kind, ...]] = ("template", "workflow", "schedule", "preferences")
"""In the order in which they can be put: what is said, who says it, when; what holds for everybody hangs on none of them."""
_PLURALS: Final = {"template": "templates", "workflow": "workflows", "schedule": "schedules"}
_NAMED_WITHIN: Final = ("template", "workflow")


class Kept(Struct, frozen=True):
    """A definition of the server; `author`: who wrote it last."""

    kind: Kind
    name: str
    definition: dict[str, Any]
    author: str
    etag: str
    is_active: bool = True


def check(client: Client, given: Sequence[Mapping[str, Any]]) -> Checked:
    """What would become of them if all were put."""
    return client.check_definitions(given)


def there(client: Client) -> list[Kept]:
    """All that the server has; what was called off or says nothing is not among it."""
    return [each for kind in KINDS for each in _of(client, kind)]


def put(client: Client, judged: Judged, definition: Mapping[str, Any]) -> None:
    """Put one, where still is what was judged.

    Raises:
        ApiError: It was refused: `stale`, where somebody has changed it since.
    """
    assert judged.kind is not None
    inside = {
        name: value
        for name, value in definition.items()
        if name != judged.kind or judged.kind in _NAMED_WITHIN
    }
    headers = {"If-Match": judged.etag} if judged.etag else {"If-None-Match": "*"}
    if judged.kind == "preferences" and judged.etag is None:
        headers = {"If-Match": '"0"'}
    # A template or workflow that is the same by now changes nothing; of the others a repetition would be refused.
    is_repeatable = judged.kind in _NAMED_WITHIN
    path = _path(judged.kind, judged.name)
    client.call(
        calls.Call("PUT", path, dict[str, Any], inside, headers, is_repeatable=is_repeatable)
    )


def remove(client: Client, kept: Kept) -> None:
    """Take one away, where still is what was read: a workflow may be triggered no longer, the others go.

    Raises:
        ApiError: It was refused: `stale`, where somebody has changed it since.
    """
    path, headers = _path(kept.kind, kept.name), {"If-Match": kept.etag}
    if kept.kind == "workflow":
        client.call(calls.Call("PATCH", path, dict[str, Any], {"active": False}, headers))
        return
    try:
        client.call(calls.Call("DELETE", path, dict[str, Any], headers=headers))
    except ApiError as exc:
        if exc.status != 404:  # gone, by a call before whose answer was lost
            raise


def said(kind: Kind, name: str, definition: Mapping[str, Any]) -> dict[str, Any]:
    """A definition as people write it: without members that say what holds anyway, which the server writes out."""
    own = {
        member: each
        for member, each in definition.items()
        if each is not None and (member, each) not in _ANYWAY
    }
    if kind == "workflow" and "facts" in own:
        own["facts"] = _without_none(own["facts"])
    if kind == "schedule":
        own["when"] = _without_none(own["when"])
    return _written(kind, name, own)


_ANYWAY: list[tuple[str, Any]] = [("name", ""), ("category", ""), ("tags", []), ("critical", False)]


def _without_none(given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    return {member: _without_none(each) for member, each in given.items() if each is not None}


def _written(kind: Kind, name: str, definition: Mapping[str, Any]) -> dict[str, Any]:
    return {kind: name} | {member: each for member, each in definition.items() if member != kind}


def _path(kind: Kind, name: str) -> str:
    if kind == "preferences":
        return "/v1/preferences/defaults"
    return f"/v1/{calls.place(_PLURALS[kind], name)}"


def _of(client: Client, kind: Kind) -> Iterator[Kept]:
    if kind == "preferences":
        found = client.call(calls.Call("GET", _path(kind, ""), dict[str, Any]))
        if found["revision"]:
            yield Kept(kind, "defaults", found["document"], "", f'"{found["revision"]}"')
        return
    after: str | None = ""
    while after is not None:
        asked = calls.query(after=after, limit=100)
        page = client.call(calls.Call("GET", f"/v1/{_PLURALS[kind]}{asked}", _Page))
        for each in page.items:
            if each.get("state") in ("cancelled", "ended"):
                continue
            etag = each.get("etag") or f'"{each.get("version")}"'
            yield Kept(
                kind,
                each[kind],
                each["definition"],
                each["author"],
                etag,
                each.get("is_active", True),
            )
        after = page.next


class _Page(msgspec.Struct, frozen=True):
    items: list[dict[str, Any]]
    next: str | None
