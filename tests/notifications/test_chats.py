"""Chats: told through Apprise, and kept so that nobody reads their secrets."""

import pytest

from clarion.errors import Invalid
from clarion.ids import Ids
from clarion.notifications.channels import chat
from clarion.notifications.delivery import Delivery
from clarion.notifications.sealing import Sealer, Unopenable
from clarion.storage.addresses import PUT, NewAddress
from clarion.telemetry import REGISTRY
from tests.notifications.conftest import on_one_engine
from tests.notifications.doors import Doors, doors, make_known, office, send, target
from tests.notifications.office import Office

__all__ = ["doors", "office", "target"]


class Said:
    """A service that notes what is said, and takes it or not."""

    def __init__(self, takes: bool = True) -> None:
        self.said: list[tuple[str, str, str]] = []
        self.takes = takes

    def notify(self, *, body: str, title: str, body_format: str) -> bool:
        self.said.append((title, body, body_format))
        return self.takes


SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"
CHAT = {"id": "chat", "chat": {"title": "Hi", "body": "{{ payload.n }}", "format": "markdown"}}


@pytest.mark.parametrize("takes", [True, False])
async def test_a_chat_is_told_and_its_secret_is_sealed(
    office: Office, doors: Doors, monkeypatch: pytest.MonkeyPatch, takes: bool
) -> None:
    """Apprise speaks to the service in a thread; the database has the URL sealed, with its service in front."""
    await make_known(office)
    await office.engine.addresses.put("default", "ann", "chat", SLACK)
    [row] = await office.engine.addresses.of_user("default", "ann")
    assert row.address.startswith("slack:sealed1.")
    assert "TIiajkdnlazkcOXrIdevi7FQ" not in row.address
    service = Said(takes)
    opened: list[str] = []
    monkeypatch.setattr(chat.Services, "open", lambda _, url: opened.append(url) or service)
    await send(office, CHAT)
    assert opened == [SLACK]
    assert service.said == [("Hi", "1", "markdown")]
    [sent] = await doors.rows()
    assert (sent.status, sent.attempts) == ("sent" if takes else "queued", 1)


@on_one_engine
@pytest.mark.parametrize(
    "url",
    [
        "json://127.0.0.1:8000/",
        "mmost://10.0.0.1/token",
        "ntfy://localhost/topic",
        "mailto://a:b@127.0.0.1",
        "syslog://",
        "dbus://",
        "vapid://a@b.test?keyfile=/etc/passwd",
        f"{SLACK}?template=/etc/passwd",
        f"{SLACK}?redirect=yes",
        f"{SLACK}?verify=no",
        f"{SLACK}?format=text;template=/etc/passwd",
        f"{SLACK}?format=text%26x;VERIFY=no",
        f"{SLACK}?format=text;%72edirect=yes",
        "slack://nonsense",
        "slack",
        "",
        f"slack://{'x' * 3_000}",
    ],
)
async def test_chats_that_could_lead_elsewhere_are_refused(
    office: Office, doors: Doors, url: str
) -> None:
    """Whose URL names the host, or a file, or loosens a check: when it is given, not when it is used."""
    await make_known(office)
    with pytest.raises(Invalid):
        await office.engine.addresses.put("default", "ann", "chat", url)


@on_one_engine
def _dead() -> float | None:
    return REGISTRY.get_sample_value("clarion_dead_letters_total", {"channel": "chat"})


async def test_a_chat_sealed_with_another_key_fails_and_says_so(
    office: Office, doors: Doors
) -> None:
    """After the deployment's secret was changed."""
    before = _dead() or 0
    await make_known(office)
    await office.engine.addresses.put("default", "ann", "chat", SLACK)
    doors.reach._chat.apprise._sealer = Sealer("another", Ids())
    await send(office, CHAT)
    [row] = await doors.rows()
    assert (row.status, row.cause) == ("failed", "it was sealed with another key: set it again")
    assert (_dead() or 0) == before + 1


def test_what_is_sealed_is_opened_for_its_purpose_only() -> None:
    """With another key, for another purpose, or damaged: it is not opened."""
    sealer = Sealer("one", Ids())
    sealed = sealer.seal("secret", "a")
    assert sealer.open(sealed, "a") == "secret"
    assert sealer.seal("secret", "a") != sealed
    for other, text, purpose in (
        (Sealer("two", Ids()), sealed, "a"),
        (sealer, sealed, "b"),
        (sealer, sealed[:-6] + "AAAA==", "a"),
        (sealer, "sealed1.", "a"),
        (sealer, "ü", "a"),
    ):
        with pytest.raises(Unopenable):
            other.open(text, purpose)
    # The secret is changed: what the former one sealed is opened while it is named.
    assert Sealer("two", Ids(), ["one"]).open(sealed, "a") == sealer.open(sealed, "a")


async def test_a_chat_that_is_kept_instead_is_known_again(office: Office, doors: Doors) -> None:
    """Its service and room can be read, and what is secret in its address cannot; one that cannot be opened shows its service."""
    delivery = Delivery(office.house.store, "capture", clock=office.clock, ids=Ids.seeded(1))
    office.sender._diverts = delivery
    await make_known(office)
    await office.engine.addresses.put("default", "ann", "chat", SLACK)
    row = NewAddress("default", "x", "ann", "chat", "tgram:sealed1.AAAA", "", "", 1)
    await office.house.store.apply(PUT, [row])
    await send(office, CHAT)
    shown = {each.address for each in (await delivery.page("default")).items}
    assert shown == {"slack://T...2/A...D/T...Q/#general/", "tgram://…"}
