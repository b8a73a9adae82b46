"""What mail servers' answers mean, beyond what the tests of `smtp` hear from a real one."""

import pytest

from clarion.notifications.channels.email.replies import LATEST_S, given_id, meaning


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("2.0.0 Ok: queued as 4Gx1Zk0", "4Gx1Zk0"),
        ("Ok 0102018f5c6d7e8f-0a1b2c3d-000000", "0102018f5c6d7e8f-0a1b2c3d-000000"),
        ("2.6.0 <abc@x> Queued mail for delivery", ""),
        ("OK", ""),
        ("", ""),
    ],
)
def test_what_a_server_calls_a_message(text: str, id: str) -> None:
    """Postfix, SES, and those that do not say."""
    assert given_id(text) == id


def test_servers_are_waited_for_so_long_at_most() -> None:
    """Seconds and minutes, never more than an hour."""
    assert meaning(450, "come back in 90000 seconds", "recipient").after_s == LATEST_S
    assert meaning(450, "in 2 mins", "recipient").after_s == 120.0
    assert meaning(450, "in 30s", "data").after_s == 30.0


def test_whose_fault_it_is() -> None:
    """What fails before a message is spoken of is the server's; so is closing, and a login that does not work."""
    assert meaning(554, "5.3.2 no service", "connect").is_servers
    assert meaning(535, "5.7.8 bad credentials", "auth").is_servers
    assert meaning(421, "4.7.0 too many connections", "data").is_servers
    assert not meaning(451, "4.7.1 greylisted", "recipient").is_servers
