"""Rooms whose members the application knows: `clarion serve --app examples.rooms:setup`. It is asked who may."""

from clarion.app import App
from clarion.auth import Principal
from clarion.topics import Ask, Topic

MEMBERS = {"lunch": {"ann", "ben"}}


def setup(app: App) -> None:
    """Called before the server starts."""

    async def may(principal: Principal, action: str, topic: Topic) -> bool:
        # `action` is `subscribe` or `publish`; a real application asks its database.
        return principal.id in MEMBERS.get(topic.name, ())

    app.topics.add("room", "stream", rights={"subscribe": Ask(may), "publish": Ask(may)})
