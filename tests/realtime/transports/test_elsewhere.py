"""Which requests are another process', and who may say who asks."""

import pytest

from clarion.clock import SystemClock
from clarion.realtime.transports.elsewhere import Elsewhere, Moving
from clarion.realtime.transports.head import Refused
from clarion.realtime.transports.relay import VALID_S, Signing

PATH = b"/socket.io/?EIO=4&transport=polling"


class Later(SystemClock):
    """Some seconds ahead."""

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self._ms = seconds * 1_000

    def now_ms(self) -> int:
        return super().now_ms() + self._ms


@pytest.mark.parametrize(
    ("target", "owner"),
    [
        (PATH, ""),
        (PATH + b"&sid=" + b"x" * 20 + b"mine", ""),
        (PATH + b"&sid=" + b"x" * 20 + b"-_9Z", "-_9Z"),
        (PATH + b"&sid=" + b"x" * 20 + b"that&t=1", "that"),
        (b"/socket.io/?sid=" + b"x" * 20 + b"that", "that"),
        (b"/v1/topics?sid=" + b"x" * 20 + b"that", ""),
        (PATH + b"&sid=x", ""),
        (PATH + b"&sid=" + b"x" * 129, ""),
        (PATH + b"&sid=..%2f..%2f..%2fthat", ""),
        (PATH + b"&noside=" + b"x" * 20 + b"that", ""),
        (b"/socket.io/", ""),
    ],
)
def test_the_last_four_characters_of_a_session_name_its_process(target: bytes, owner: str) -> None:
    """And only there where sessions are; what is no id is for this process to refuse."""
    assert Elsewhere("mine", ["/socket.io/"], []).owner(target) == owner


def test_who_asks_is_believed_of_those_who_know_the_secret() -> None:
    """For this request, for a minute, whoever the client is."""
    request = Moving(b"GET", PATH, (), b"", ("2001:db8::1", 5_000), True)
    said = Signing("secret", SystemClock()).header(request)
    assert Signing("secret", Later(VALID_S - 2)).read(said, b"GET", PATH) == (
        ("2001:db8::1", 5_000),
        True,
    )
    nobody = Signing("secret", SystemClock()).header(Moving(b"GET", PATH, (), b"", None, False))
    assert Signing("secret", SystemClock()).read(nobody, b"GET", PATH) == (None, False)
    for signing, method, target in (
        (Signing("another", SystemClock()), b"GET", PATH),
        (Signing("secret", SystemClock()), b"POST", PATH),
        (Signing("secret", SystemClock()), b"GET", PATH + b"&sid=1"),
        (Signing("secret", Later(VALID_S + 2)), b"GET", PATH),
        (Signing("secret", Later(-VALID_S - 2)), b"GET", PATH),
    ):
        with pytest.raises(Refused) as refused:
            signing.read(said, method, target)
        assert refused.value.status == 403
