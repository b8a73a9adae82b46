"""A poll with live results: `clarion serve --app examples.poll.server:setup`. A kind of topic of one's own."""

from clarion.app import App
from clarion.errors import Invalid
from clarion.topics import Call, Publish, Published, SignedIn

CHOICES = ("pizza", "soup", "salad")


def setup(app: App) -> None:
    """Called before the server starts."""

    async def vote(call: Call, given: Publish) -> Published:
        if given.event != "vote" or given.data not in CHOICES or call.principal is None:
            raise Invalid(f"vote for one of {', '.join(CHOICES)}")
        # An item for each voter: a second vote takes the place of the first.
        ballot = Publish(key=call.principal.id, data=given.data, id=given.id)
        return await app.topics.append(poll, call, ballot)

    anybody = {"subscribe": SignedIn(), "publish": SignedIn()}
    poll = app.topics.add("poll", "map", rights=anybody, publish=vote)
