"""Links and pictures that tell of clicks and opens, and who did that."""

import base64
import re

import pytest

from clarion.notifications.channels.email.tracking import (
    LINKS,
    Seen,
    Tokens,
    is_machine,
    tracked,
)

TOKENS = Tokens(b"secret")
BASE = "https://c.example"


def rewritten(html: str, *, opens: bool = True, clicks: bool = True) -> str:
    return tracked(html, TOKENS, BASE, "default", "m.1.0", opens=opens, clicks=clicks)


def leads_to(html: str) -> list[str]:
    found = re.findall(r'href="https://c\.example/v1/email/clicks/([^"]+)"', html)
    return [seen.url for each in found if (seen := TOKENS.read(each)) is not None]


def test_links_lead_through_the_server_and_on() -> None:
    """Links of the web are rewritten, each with where it leads; others and those that say so stay."""
    html = """<a class=b href='https://x.org/?a=1&amp;b=2'>x</a><a href="mailto:a@x.org">m</a><a href="#t">t</a><a>n</a>
      <a href="https://y.org" data-track="off">y</a></body></html>"""
    found = rewritten(html)
    assert leads_to(found) == ["https://x.org/?a=1&b=2"]
    for same in ('href="mailto:a@x.org"', 'href="#t"', 'href="https://y.org" data-track="off"'):
        assert same in found
    assert re.search(r'opens/[\w-]+" width="1" height="1" alt="" style="border:0"></body></html>', found)  # fmt: skip


def test_each_can_be_off() -> None:
    """Opens without clicks, clicks without opens."""
    html = '<a href="https://x.org">x</a>'
    assert "opens" not in rewritten(html, opens=False)
    assert rewritten(html, clicks=False).startswith(html)
    assert rewritten("İ</BODY>", clicks=False).count("<img") == 1


def test_links_are_bounded() -> None:
    """Neither very long ones nor very many are rewritten."""
    assert leads_to(rewritten(f'<a href="https://x.org/{"a" * 2_100}">x</a>')) == []
    assert len(leads_to(rewritten('<a href="https://x.org">x</a>' * (LINKS + 5)))) == LINKS


def test_tokens_of_others_say_nothing() -> None:
    """A token that was changed, cut, or made with another secret is none."""
    token = TOKENS.make(Seen("click", "default", "m.1.0", "https://x.org"))
    assert TOKENS.read(token) == Seen("click", "default", "m.1.0", "https://x.org")
    forged = base64.urlsafe_b64encode(b"x" * 16 + b'["click","default","m","https://evil.org"]')
    for other in ("", "x", token[:-4], f"A{token[1:]}", "é", forged.decode(), Tokens(b"other").make(Seen("open", "t", "m"))):  # fmt: skip
        assert TOKENS.read(other) is None


@pytest.mark.parametrize(
    ("headers", "since_ms", "expected"),
    [
        ({"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}, 60_000, False),
        ({"user-agent": "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"}, 60_000, False),
        ({"user-agent": "Mozilla/5.0"}, 60_000, True),
        ({}, 60_000, True),
        ({"user-agent": "Mozilla/5.0 (compatible; bingbot/2.0)"}, 60_000, True),
        ({"user-agent": "Mozilla/5.0 (iPhone) Safari", "sec-purpose": "prefetch;prerender"}, 60_000, True),
        ({"user-agent": "Mozilla/5.0 (iPhone) Safari"}, 500, True),
    ],
)  # fmt: skip
def test_programs_are_told_from_people(headers: dict[str, str], since_ms: int, expected: bool) -> None:  # fmt: skip
    """Apple's proxy, prefetching, scanners and whatever is faster than anybody reads are programs; Google's proxy is a person."""
    assert is_machine(headers, since_ms) is expected
