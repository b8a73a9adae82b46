"""An inbox as a client sees it: the snapshot, and what publications change of it. Pure; as `@clarion/client` does it."""

from typing import Any

Message = dict[str, Any]


class View:
    """Messages that are neither archived nor put off: the newest ones without a hole."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self._items: dict[int, Message] = {item["seq"]: item for item in snapshot["items"]}
        self._has_more: bool = snapshot["more"]
        self._window = max(len(self._items), 50)
        self.unread: int = snapshot["unread"]
        self.unseen: int = snapshot["unseen"]

    def newest(self, count: int) -> list[Message]:
        """The first ones, newest first."""
        return [self._items[seq] for seq in sorted(self._items, reverse=True)[:count]]

    def apply(self, event: str, data: dict[str, Any]) -> None:
        """Take one publication."""
        self.unread, self.unseen = data["unread"], data["unseen"]
        match event:
            case "added":
                self._insert(data["message"])
            case "changed":
                self._change(data)
            case "all_read":
                for item in self._items.values():
                    if item["seq"] <= data["upto"] and item["read_at"] is None:
                        item["read_at"] = data["read_at"]
                        item["seen_at"] = item["seen_at"] or data["read_at"]
            case "some_read":
                for item in self._meant(data):
                    item["read_at"] = item["read_at"] or data["read_at"]
                    item["seen_at"] = item["seen_at"] or data["read_at"]
            case "all_seen" | "some_seen":
                for item in self._meant(data):
                    item["seen_at"] = item["seen_at"] or data["seen_at"]
            case "removed":
                self._items = {
                    seq: item for seq, item in self._items.items() if item["id"] not in data["ids"]
                }
                if "entered" in data and not self._leaves_hole(data["entered"]):
                    self._insert(data["entered"])
            case "all_archived":
                gone = [seq for seq in self._items if seq <= data["upto"]]
                for seq in gone:
                    del self._items[seq]
                self._has_more = False

    def _meant(self, data: dict[str, Any]) -> list[Message]:
        return [
            item
            for item in self._items.values()
            if item["seq"] <= data["upto"]
            and data.get("category") in (None, item.get("category"))
            and ("tag" not in data or data["tag"] in item.get("tags", ()))
        ]

    def _change(self, data: dict[str, Any]) -> None:
        seq = next((seq for seq, item in self._items.items() if item["id"] == data["id"]), None)
        if data["archived_at"] is not None or "snoozed_until" in data:
            self._items.pop(seq or 0, None)
        elif seq is not None:
            self._items[seq]["read_at"] = data["read_at"]
            self._items[seq]["seen_at"] = data["seen_at"]
            for member in ("pinned_at", "clicked_at", "done"):
                self._items[seq].pop(member, None)
                if member in data:
                    self._items[seq][member] = data[member]
        for message in (data.get("message"), data.get("entered")):
            if message is not None and not self._leaves_hole(message):
                self._insert(message)

    def _leaves_hole(self, message: Message) -> bool:
        return (
            self._has_more
            and len(self._items) >= self._window
            and message["seq"] < min(self._items)
        )

    def _insert(self, message: Message) -> None:
        self._items[message["seq"]] = dict(message)
