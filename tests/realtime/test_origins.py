"""Which pages may talk to the server, and what browsers are told."""

import re

import pytest
from structlog.testing import capture_logs

from clarion.errors import UsageError
from clarion.realtime.origins import MOST_NAMED, Cors, Origins

APP = b"https://app.example"
EVIL = b"https://evil.example"


def judge(origins, **more) -> Origins:
    return Origins(Cors(origins=origins, **more))


@pytest.mark.parametrize(
    ("origin", "host", "is_secure", "allowed"),
    [
        (b"", b"x", False, True),
        (b"http://example.com", b"example.com", False, True),
        (b"https://example.com", b"EXAMPLE.com:443", False, True),
        (b"https://Example.com", b"example.com", True, True),
        (b"http://[::1]:8000", b"[::1]:8000", False, True),
        (b"http://[::1]", b"[::1]:80", False, True),
        (b"http://example.com", b"example.com", True, False),
        (b"http://example.com:81", b"example.com", False, False),
        (b"http://evil.example", b"example.com", False, False),
        (b"http://example.com.evil", b"example.com", False, False),
        (b"null", b"example.com", False, False),
        (b"null", b"null", False, False),
        (b"file://", b"", False, False),
        (b"https://app.example", b"example.com", True, True),
    ],
)
def test_own_pages_and_listed_origins_pass(origin, host, is_secure, allowed):
    """Programs without an Origin, pages of the server itself and of listed origins pass; all others do not."""
    origins = judge(["https://app.example/"])
    assert origins.allows(origin, host, is_secure=is_secure) is allowed


def test_cors_names_the_origin_that_asked():
    """A listed origin may read answers with credentials; `*` lets everybody read, without credentials; others get no header."""
    listed, everybody = judge(["https://app.example"]), judge("*")
    assert (
        dict(listed.headers(b"https://app.example"))[b"access-control-allow-credentials"] == b"true"
    )
    assert listed.headers(b"https://evil.example") == []
    assert listed.headers(b"") == []
    assert everybody.headers(b"https://any.example") == [(b"access-control-allow-origin", b"*")]
    assert everybody.allows(b"null", b"x", is_secure=False)


@pytest.mark.parametrize(
    "origins",
    [
        "https://app.example",
        "https://APP.example/some/path",
        ["https://other.example", re.compile(r"https://[a-z]+\.example")],
        lambda origin: origin == "https://app.example",
    ],
)
def test_origins_are_a_name_a_list_a_pattern_or_a_function(origins):
    """All forms that Node has; a pattern must match as a whole, so that `evil.example.com` is not `example.com`."""
    judged = judge(origins)
    assert judged.allows(APP, b"x", is_secure=False)
    assert judged.headers(APP)[0] == (b"access-control-allow-origin", APP)
    for other in (b"https://app.example.evil", b"http://app.example", b"https://xapp.example.com"):
        assert not judged.allows(other, b"x", is_secure=False)
        assert judged.headers(other) == []


def test_a_function_that_fails_allows_nobody():
    """Its bug is logged and lets no page in."""

    def fails(origin: str) -> bool:
        raise KeyError(origin)

    assert not judge(fails).allows(APP, b"x", is_secure=False)
    assert judge(fails).headers(APP) == []


def test_nodes_mere_cors_is_a_choice():
    """With `refuse=False` foreign pages are served and only may not read, as in Node."""
    judged = judge(["https://app.example"], refuse=False)
    assert judged.allows(EVIL, b"x", is_secure=False)
    assert judged.headers(EVIL) == []


def test_what_a_page_may_send_and_read():
    """Credentials, exposed headers, methods, allowed headers, age of the preflight: as given, else as the page asks."""
    asked = [(b"access-control-request-headers", b"x-a, x-b")]
    plain = judge([APP.decode()])
    assert dict(plain.preflight(asked)) == {
        b"access-control-allow-methods": b"GET, POST",
        b"access-control-max-age": b"600",
        b"access-control-allow-headers": b"x-a, x-b",
        b"vary": b"Access-Control-Request-Headers",
    }
    assert b"access-control-allow-headers" not in dict(plain.preflight([]))
    strict = judge(
        [APP.decode()],
        credentials=False,
        methods=["GET"],
        allowed_headers=["x-a"],
        exposed_headers=["x-request-id"],
        max_age_s=5,
    )
    assert dict(strict.headers(APP)) == {
        b"access-control-allow-origin": APP,
        b"vary": b"Origin",
        b"access-control-expose-headers": b"x-request-id",
    }
    assert dict(strict.preflight(asked)) == {
        b"access-control-allow-methods": b"GET",
        b"access-control-max-age": b"5",
        b"access-control-allow-headers": b"x-a",
    }


@pytest.mark.parametrize("origin", ["app.example", "", "https://", "//app.example"])
def test_what_no_browser_sends_is_the_callers_mistake(origin):
    """A name without a scheme would never match: the start says so."""
    with pytest.raises(UsageError, match="not an origin"):
        judge([origin])


def test_the_log_names_who_was_refused_each_once_and_a_bounded_number():
    """A browser's console says CORS, whatever was wrong; the log says what to set. Made-up origins do not fill it."""
    origins = judge(["https://app.example"])
    with capture_logs() as logs:
        for _ in range(2):
            for number in range(1000, 1005 + MOST_NAMED):
                assert not origins.allows(
                    b"http://LOCALHOST:%d" % number, b"localhost", is_secure=False
                )
        assert origins.allows(b"https://app.example", b"localhost", is_secure=False)
    assert [entry["origin"] for entry in logs] == [
        f"http://localhost:{number}" for number in range(1000, 1000 + MOST_NAMED)
    ]
    assert {entry["log_level"] for entry in logs} == {"warning"}
    assert "allowed_origins" in logs[0]["event"]
