"""Links that need no login: they do what stands in them, and nothing else."""

import pytest
from msgspec.structs import replace

from clarion.clock import ManualClock
from clarion.errors import NotFound, UsageError
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
    assert links.read(token(link), Unsubscribe) == Unsubscribe(
        "default", "ann", "email", "news", "w"
    )
    text, _, mark = token(link).partition(".")
    for wrong in (text, f"{text}.", f"{text}x.{mark}", f"{text}.{mark}x", "", "é.ü", "a.b.c"):
        with pytest.raises(NotFound):
            links.read(wrong, Unsubscribe)
    with pytest.raises(NotFound):
        Links("other", "", clock=clock).read(token(link), Unsubscribe)


def test_a_page_is_open_for_a_while() -> None:
    """After that the link is too old; one that unsubscribes never is."""
    clock = ManualClock()
    links = Links("secret", "", clock=clock)
    page, out = (
        links.page("t", "ann", good_s=60),
        links.unsubscribe("t", "ann", "email", workflow="w"),
    )
    assert links.read(token(page), Page).usr == "ann"
    clock.advance(60)
    with pytest.raises(NotFound, match="too old"):
        links.read(token(page), Page)
    assert links.read(token(out), Unsubscribe) == Unsubscribe("t", "ann", "email", "", "w")


def links_undo(out: Unsubscribe, before: Document) -> Unsubscribe:
    """What a token that undoes it knows."""
    links = Links("secret", "", clock=ManualClock())
    return links.read(links.undo(replace(out, was=out.said(before))), Unsubscribe)


def test_unsubscribing_leaves_everything_else() -> None:
    """A category on one channel; what is said of the workflow that the link came with does not outrank it. It can be undone."""
    before = Document(
        channels={"push": False}, categories={"news": True}, workflows={"w": {"email": True}}
    )
    out = Unsubscribe("t", "ann", "email", "news", "w")
    after = out.apply(before)
    assert after.categories == {"news": {"*": True, "email": False}}
    assert after.workflows == {"w": {"email": False}}
    assert after.channels == {"push": False}
    assert out.undone(after).categories == {"news": {"*": True}}
    known = links_undo(out, before)
    assert known.undone(after).workflows == {"w": {"email": True}}
    conditions = Document(
        categories={"news": {"email": "payload.a"}}, workflows={"w": {"email": "€" * 1_000}}
    )
    assert links_undo(out, conditions).was is None, "too long for an address"


def test_a_link_opens_only_its_own_door() -> None:
    """One that unsubscribes does not open a person's page, and a page's unsubscribes from nothing; without a category or a workflow there is none."""
    links = Links("secret", "", clock=ManualClock())
    with pytest.raises(NotFound):
        links.read(token(links.unsubscribe("t", "ann", "email", workflow="w")), Page)
    with pytest.raises(NotFound):
        links.read(token(links.page("t", "ann")), Unsubscribe)
    with pytest.raises(UsageError):
        links.unsubscribe("t", "ann", "email")


def test_unsubscribing_from_a_workflow() -> None:
    """Without a category it is the workflow."""
    out = Unsubscribe("t", "ann", "email", workflow="w")
    one = out.apply(Document())
    assert one == Document(workflows={"w": {"email": False}})
    assert out.undone(one) == Document()
