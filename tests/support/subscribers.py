"""What a subscriber makes of what it hears: the state at some offset and what follows it make the state at a later one."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from clarion.features.activity import changes, window
from clarion.topics.changes import APPEND, REMOVE
from clarion.topics.growth import grown
from clarion.topics.stream import Entry


def state_after(state: dict[str, Any], entries: Iterable[Entry]) -> dict[str, Any]:
    """Of a map: its values by key after entries. The state given is changed and returned."""
    for entry in entries:
        if entry.key is None:
            continue
        if entry.event == REMOVE:
            state.pop(entry.key, None)
        elif entry.event == APPEND:
            state[entry.key] = grown(state.get(entry.key), entry.data)
        else:
            state[entry.key] = entry.data
    return state


def activities_after(state: Mapping[str, Any], entries: Iterable[Entry]) -> dict[str, Any]:
    """Of a stream of activities: `{items, more}` after entries of its log."""
    items, more = list(state["items"]), state["more"]
    for entry in entries:
        data = entry.data
        match entry.event:
            case "added":
                items.append(data["activity"])
            case "changed":
                changed = data["activity"]
                items = [changed if item["id"] == changed["id"] else item for item in items]
            case "removed":
                items = [item for item in items if item["id"] != data["id"]]
                items += [data["entered"]] if "entered" in data else []
            case _:
                items = [item for item in items if _place_of(item) > _place_of(data["upto"])]
        items = sorted(items, key=_place_of, reverse=True)[: changes.WINDOW]
        more = data["more"]
    return {"items": items, "more": more}


def items_after(
    state: Mapping[str, Any], events: Iterable[tuple[str, Mapping[str, Any]]]
) -> dict[str, Any]:
    """Of a timeline or a feed: `{items, more, …}` after its events."""
    items = list(state["items"])
    facts = {name: value for name, value in state.items() if name != "items"}
    for event, data in events:
        match event:
            case "added":
                items.append(data["item"])
            case "changed":
                new = data["item"]
                items = [new if item["id"] == new["id"] else item for item in items]
            case "removed":
                items = [item for item in items if item["id"] != data["id"]]
        items = sorted(items, key=_place_of, reverse=True)[: window.WINDOW]
        facts = {name: value for name, value in data.items() if name not in {"item", "id"}}
    return {"items": items, **facts}


def results_after(
    state: Mapping[str, Any], events: Iterable[tuple[str, Mapping[str, Any]]], limit: int
) -> dict[str, Any]:
    """Of a search: `{items, more, counts}` after its events."""
    items, rest = list(state["items"]), {name: state[name] for name in ("more", "counts")}
    for _, data in events:
        if "id" in data:
            items = [item for item in items if item["id"] != data["id"]]
        if "item" in data:
            items.insert(data["at"], data["item"])
        del items[limit:]
        rest = {"more": data["more"], "counts": data["counts"]}
    return {"items": items, **rest}


def _place_of(item: Mapping[str, Any]) -> tuple[datetime, str]:
    return datetime.fromisoformat(item["published"]), item["id"]
