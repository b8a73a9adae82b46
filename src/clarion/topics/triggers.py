"""Triggers: what a kind of topic asks for when somebody is to hear of something who may not be looking, such as a document that begins to match.

A kind knows nothing of notifications: the app gives it what does. Whoever hands the same trigger on twice does so under the same key, with which it has its effect once.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct


class Trigger(Struct, frozen=True):
    """Something has happened, and somebody is to be told.

    Args:
        tenant: Whose.
        source: The kind that it comes from, such as `search`.
        key: Names this happening, within the source: the same if it is handed on again; 1 to 255 printable ASCII characters.
        asks: Whom to tell what: a notification, as `POST /v1/notifications` takes it, or with `workflow` a workflow to run, as `POST /v1/triggers` does.
        about: What has happened; the notification's `data`, or the workflow's `payload`, gets it under the source's name.
    """

    tenant: str
    source: str
    key: str
    asks: Mapping[str, Any]
    about: Mapping[str, Any]


def without(asks: Mapping[str, Any], user: str) -> Mapping[str, Any] | None:
    """What is asked for, without somebody who is to be forgotten; the same object if it does not name them, None if nobody is left to be told."""
    said = {name: asks[name] for name in ("recipients", "exclude") if name in asks}
    left = {name: [each for each in some if _id(each) != user] for name, some in said.items()}
    if left == said and asks.get("actor") != user:
        return asks
    others = any(asks.get(name) for name in ("audiences", "filter", "everyone", "did"))
    if not left.get("recipients") and not others:
        return None
    rest = {name: value for name, value in asks.items() if name != "actor" or value != user}
    return {**rest, **left}


def _id(recipient: Any) -> Any:
    return recipient.get("id") if isinstance(recipient, dict) else recipient


class Triggers(Protocol):
    """Takes triggers."""

    async def check(self, trigger: Trigger) -> None:
        """Look at what is to be handed on later, while whoever asks for it is there to hear of it; `about` is an example, `key` means nothing.

        Raises:
            Invalid: It asks for what can never be done; pointers begin at `asks`.
            StorageFull, Unavailable: Of the store.
        """

    async def hand(self, trigger: Trigger) -> None:
        """Hand a trigger on, at least once; returns when it cannot be lost any more.

        Raises:
            PeerError: It will never be possible: pass it over.
            ServerError: It is not possible now: try again.
        """
