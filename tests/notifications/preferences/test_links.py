"""Links that need no login: they do what stands in them, and nothing else."""

import pytest

from clarion.clock import ManualClock
from clarion.errors import NotFound
from clarion.notifications.preferences.document import Document
from clarion.notifications.preferences.links import Links, Page, Unsubscribe


def token(link: str) -> str:
    return link.rsplit("/", 1)[1]


def test_a_link_is_read_as_it_was_made_and_by_nobody_else() -> None:
    """A changed one, one of another secret, and what is no token are all refused alike."""
    clock = ManualClock()
    links = Links("secret", "https://x.test/", clock=clock)
    link = links.unsubscribe("default", "ann", "email", category="news", workflow="w")
    assert link.startswith("https://x.test/v1/unsubscribe/")
    assert links.read(token(link)) == Unsubscribe("default", "ann", "email", "news", "w")
    text, _, mark = token(link).partition(".")
    for wrong in (text, f"{text}.", f"{text}x.{mark}", f"{text}.{mark}x", "", "é.ü", "a.b.c"):
        with pytest.raises(NotFound):
            links.read(wrong)
    with pytest.raises(NotFound):
        Links("other", "", clock=clock).read(token(link))


def test_a_page_is_open_for_a_while() -> None:
    """After that the link is too old; one that unsubscribes never is."""
    clock = ManualClock()
    links = Links("secret", "", clock=clock)
    page, out = links.page("t", "ann", good_s=60), links.unsubscribe("t", "ann", "email")
    assert isinstance(links.read(token(page)), Page)
    clock.advance(60)
    with pytest.raises(NotFound, match="too old"):
        links.read(token(page))
    assert links.read(token(out)) == Unsubscribe("t", "ann", "email")


def test_unsubscribing_leaves_everything_else() -> None:
    """A category on one channel; what is said of the workflow that the link came with does not outrank it. It can be undone."""
    before = Document(
        channels={"push": False}, categories={"news": True}, workflows={"w": {"email": True}}
    )
    out = Unsubscribe("t", "ann", "email", "news", "w")
    after = out.apply(before, False)
    assert after.categories == {"news": {"*": True, "email": False}}
    assert after.workflows == {"w": {"email": False}}
    assert after.channels == {"push": False}
    assert out.apply(after, True).categories == {"news": {"*": True, "email": True}}


def test_unsubscribing_from_a_workflow_or_a_whole_channel() -> None:
    """Without a category it is the workflow; without both, all of the channel, whatever was said of parts of it."""
    one = Unsubscribe("t", "ann", "email", workflow="w").apply(Document(), False)
    assert one == Document(workflows={"w": {"email": False}})
    everything = Unsubscribe("t", "ann", "email").apply(
        Document(categories={"news": {"email": True}}, workflows={"w": True}), False
    )
    assert everything.channels == {"email": False}
    assert everything.categories == {"news": {"email": False}}
    assert everything.workflows == {"w": {"*": True, "email": False}}
