"""Recipients: who can be named, and everybody once."""

import re

import msgspec
import pytest

from clarion.notifications.content import ACTION_URL
from clarion.notifications.recipients import ADDRESS, Named, Recipient, UserId, distinct


def test_everybody_once_in_the_order_of_first_mention() -> None:
    """Named twice, or named and described: one person; what was said of them is put together, the later word wins."""
    ann = Recipient("ann", name="Ann", email="ann@example.org")
    found = distinct(["bob", ann, "bob", "ann", Recipient("ann", name="Anna"), Recipient("bob")])
    assert found == [
        Named(0, "bob", Recipient("bob")),
        Named(1, "ann", Recipient("ann", name="Anna", email="ann@example.org")),
    ]
    assert distinct(["bob"]) == [Named(0, "bob", None)]


@pytest.mark.parametrize("id", ["ann", "Ann.B_c@d+e", "auth0|5f7c", "urn:x:y", "a" * 128, "7"])
def test_ids_of_common_identity_providers(id: str) -> None:
    assert msgspec.convert(id, UserId) == id


@pytest.mark.parametrize(
    "id", ["", "a" * 129, "a b", "a\n", "\nann", "-a", "ä", "a\x00", "a,b", "*"]
)
def test_what_is_no_id(id: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(id, UserId)


@pytest.mark.parametrize(
    "member",
    [
        {"name": ""},
        {"name": "a\x00"},
        {"email": "nobody"},
        {"email": "a@b\n"},
        {"email": "a b@c"},
        {"email": "a\x01@b"},
        {"email": "a@b\x7f"},
        {"email": "a\ufeff@b"},
        {"locale": "e"},
        {"locale": "en_"},
        {"phone": "030123456"},
        {"phone": "+0301234567"},
        {"phone": "+49 30 1234567"},
        {"phone": "+1234567890123456"},
        {"time_zone": "Europe/Berlin;"},
        {"time_zone": ""},
        {"attributes": []},
        {"nickname": "x"},
    ],
)
def test_what_is_no_description(member: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"id": "ann", **member}, Recipient)


def test_a_description() -> None:
    said = {
        "id": "ann",
        "name": "Ann Ö.",
        "email": "ann@example.org",
        "phone": "+4930123456",
        "locale": "de-CH",
        "time_zone": "America/Argentina/Buenos_Aires",
        "attributes": {"plan": "pro"},
    }
    assert msgspec.to_builtins(msgspec.convert(said, Recipient)) == said


@pytest.mark.parametrize("pattern", [ADDRESS, ACTION_URL])
def test_patterns_mean_the_same_to_the_server_and_to_readers_of_the_document(pattern: str) -> None:
    """JSON Schema's are ECMAScript's, where `\\s` and `\\w` are other characters than in Python: neither is used."""
    assert not re.search(r"\\[sSwWdDbB]", pattern)
