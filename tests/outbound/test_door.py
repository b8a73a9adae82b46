"""The door to the outside, against a real server with real TLS."""

import gzip
import socket
import ssl

import httpcore
import pytest

from clarion.clock import SystemClock
from clarion.errors import OutboundRefused, Unavailable
from clarion.outbound import Outbound
from clarion.outbound.door import _Dialler, public_certificates, resolve
from tests.outbound.conftest import response
from tests.outbound.test_addresses import NOT_PUBLIC


@pytest.fixture
def url(outside):
    return lambda path, host="service.test": f"https://{host}:{outside.port}{path}"


async def test_a_call_and_its_answer(door, outside, url, names):
    """Method, headers and body go out as given, Host is the URL's; status, headers and body come back."""
    outside.answers["/hook?x=1"] = [response(b"thanks", "X-Name: é", status=418)]
    headers = {"X-Sign": "abc", "Host": "evil", "Content-Type": "a/b"}
    answer = await door().request("POST", url("/hook?x=1"), headers, b"hello")
    assert (answer.status, answer.body) == (418, b"thanks")
    assert answer.header("X-NAME") == "é".encode().decode("latin-1")
    assert answer.header("x-other") is None
    sent = outside.asked[0]
    assert sent.startswith(b"POST /hook?x=1 HTTP/1.1\r\n")
    assert f"Host: service.test:{outside.port}\r\n".encode() in sent
    assert b"evil" not in sent
    assert b"x-sign: abc" in sent.lower()
    assert sent.endswith(b"\r\n\r\nhello")
    assert names.asked == ["service.test"]


async def test_headers_that_somebody_else_wrote(door, outside, url):
    """What is beyond ASCII goes out in UTF-8; framing and connection are ours; what would be another header is not sent at all."""
    outside.answers["/"] = [response()]
    theirs = {"X-Name": "Jürg", "Content-Length": "99", "Transfer-Encoding": "chunked"}
    answer = await door().request("POST", url("/"), {**theirs, "Connection": "upgrade"}, b"hello")
    assert answer.status == 200
    [sent] = outside.asked
    assert "\r\nx-name: Jürg\r\n".encode() in sent
    assert b"\r\ncontent-length: 5\r\n" in sent.lower()
    assert b"chunked" not in sent
    assert b"upgrade" not in sent
    for headers in ({"x": "a\r\nb: c"}, {"x\r\nb": "c"}, {"ü": "a"}):
        with pytest.raises(Unavailable):
            await door().request("GET", url("/"), headers)
    assert len(outside.asked) == 1


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_an_address_that_is_not_public_is_never_dialled(door, names, outside, url, address):
    """Whatever a name resolves to is judged; one bad address among good ones is enough."""
    outside.answers["/"] = [response()]
    names.answers["service.test"] = [["127.0.0.1", address]]
    allowed = ["127.0.0.1"] if address != "127.0.0.1" else []
    with pytest.raises(OutboundRefused, match=r"service\.test is not a public address"):
        await door(allow_private=allowed).request("GET", url("/"))
    assert outside.asked == []


async def test_a_literal_address_is_judged_too(door, outside, url):
    """An address in the URL gets no milder treatment, in none of its spellings."""
    ours = Outbound(SystemClock(), ports=(outside.port,))
    for host in (
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "localhost",
    ):
        with pytest.raises((OutboundRefused, Unavailable)):
            await ours.request("GET", url("/", host))
    await ours.close()
    assert outside.asked == []


async def test_a_name_that_changes_its_mind_gains_nothing(door, names, outside, url):
    """DNS rebinding: the address that was judged is dialled; a second answer is judged again."""
    outside.answers["/"] = [response(b"ok")]
    names.answers["service.test"] = [["127.0.0.1"], ["169.254.169.254"]]
    ours = door()
    assert (await ours.request("GET", url("/"))).body == b"ok"
    assert names.asked == ["service.test"]
    with pytest.raises(OutboundRefused):
        await ours.request("GET", url("/"))


async def test_the_certificate_must_be_the_names(door, names, outside, url):
    """The checked address is dialled, and yet the certificate must be the name's."""
    names.answers["stranger.test"] = [["127.0.0.1"]]
    outside.answers["/"] = [response()]
    with pytest.raises(Unavailable, match="certificate"):
        await door().request("GET", url("/", "stranger.test"))
    assert outside.asked == []


async def test_all_addresses_are_tried(door, names, outside, url):
    """A name with a dead address is reached by the next one."""
    names.answers["service.test"] = [["127.0.0.2", "127.0.0.1"]]
    outside.answers["/"] = [response(b"ok")]
    ours = door(allow_private=["127.0.0.0/8"])
    assert (await ours.request("GET", url("/"))).body == b"ok"


async def test_what_can_not_be_reached_is_unavailable(door, names, outside):
    """No address, an unknown name, a closed port: each is told with the host and no more of the URL."""
    names.answers["empty.test"] = [[]]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        ours = door(ports=(port,))
        for host in ("empty.test", "unknown.test", "service.test"):
            with pytest.raises(Unavailable, match=host) as caught:
                await ours.request("GET", f"https://{host}:{port}/secret")
            assert "secret" not in str(caught.value)


async def test_redirects_are_answers_unless_asked_for(door, outside, url):
    """By default a redirect is what came back."""
    outside.answers["/"] = [response(b"", "Location: /next", status=302)]
    assert (await door().request("GET", url("/"))).header("location") == "/next"


async def test_redirects_are_followed_and_counted(door, outside, url):
    """So many as asked for; the next one is the answer. POST becomes GET as in browsers, 307 stays what it is."""
    outside.answers["/1"] = [response(b"", "Location: /2", status=307)]
    outside.answers["/2"] = [response(b"", "Location: /3", status=303)]
    outside.answers["/3"] = [response(b"", "Location: /4", status=302)]
    answer = await door().request("POST", url("/1"), {"Authorization": "x"}, b"body", redirects=2)
    assert answer.status == 302
    assert [each.split(b" HTTP")[0] for each in outside.asked] == [
        b"POST /1",
        b"POST /2",
        b"GET /3",
    ]
    assert outside.asked[1].endswith(b"body")
    assert not outside.asked[2].endswith(b"body")
    assert b"authorization: x" in outside.asked[2].lower()


async def test_credentials_stay_with_their_origin(door, outside, url):
    """Another host gets no header that could be a secret."""
    outside.answers["/"] = [response(b"", f"Location: {url('/next', 'other.test')}", status=302)]
    outside.answers["/next"] = [response(b"ok")]
    secret = {"Authorization": "x", "Cookie": "x", "X-Api-Key": "x", "Accept": "a/b"}
    await door().request("GET", url("/"), secret, redirects=1)
    second = outside.asked[1].lower()
    assert b"host: other.test" in second
    assert b"accept: a/b" in second
    for name in (b"authorization", b"cookie", b"x-api-key"):
        assert name not in second


async def test_a_redirect_is_judged_like_any_url(door, outside, plain, names, url):
    """To a private address, to HTTP, to another scheme or port, to rubbish: refused before it is called."""
    names.answers["inside.test"] = [["10.0.0.1"]]
    ours = door()
    for to in (
        url("/x", "inside.test"),
        url("/x", "10.0.0.1"),
        f"http://service.test:{plain.port}/x",
        "file:///etc/passwd",
        "https://service.test:22/x",
        f"https://user:secret@service.test:{outside.port}/x",
        "https://[::bad/",
    ):
        names.answers["10.0.0.1"] = [["10.0.0.1"]]
        outside.answers["/"] = [response(b"", f"Location: {to}", status=302)]
        with pytest.raises(OutboundRefused):
            await ours.request("GET", url("/"), redirects=3)
    assert plain.asked == []


async def test_http_is_called_only_where_it_is_allowed(door, plain):
    """Plain HTTP is an exception that the settings make."""
    plain.answers["/"] = [response(b"plain")]
    target = f"http://service.test:{plain.port}/"
    assert (await door().request("GET", target)).body == b"plain"
    with pytest.raises(OutboundRefused):
        await door(allow_http=False).request("GET", target)


async def test_an_endless_body_is_cut_off(door, outside, url):
    """The limit holds while reading, announced or not; at the limit all is well."""
    outside.answers["/endless"] = [b"HTTP/1.1 200 X\r\n\r\n"]
    outside.repeats.add("/endless")
    outside.answers["/n"] = [response(b"x" * 1000)]
    ours = door()
    with pytest.raises(Unavailable, match="exceeds 1,048,576 bytes"):
        await ours.request("GET", url("/endless"))
    assert len((await ours.request("GET", url("/n"), max_bytes=1000)).body) == 1000
    with pytest.raises(Unavailable, match="exceeds 999 bytes"):
        await ours.request("GET", url("/n"), max_bytes=999)


async def test_a_slow_answer_is_cut_off(door, outside, url):
    """One deadline for everything: a body that trickles does not extend it."""
    outside.answers["/slow"] = [b"HTTP/1.1 200 X\r\ncontent-length: 99\r\n\r\n", *[b"x", 0.05] * 99]
    outside.answers["/silent"] = [60.0]
    for path in ("/slow", "/silent"):
        with pytest.raises(Unavailable, match=r"did not answer within 0\.3 s"):
            await door().request("GET", url(path), deadline_s=0.3)


async def test_compressed_answers_are_bounded_after_inflation(door, outside, url):
    """Gzip is inflated, several members too; a bomb stops at the limit, a broken or strange encoding is told."""
    zipped = gzip.compress(b"a" * 1000) + gzip.compress(b"b")
    ours, encoded = door(), "Content-Encoding: gzip"
    outside.answers["/"] = [response(zipped, encoded)]
    assert (await ours.request("GET", url("/"))).body == b"a" * 1000 + b"b"
    outside.answers["/"] = [response(gzip.compress(bytes(50 << 20)), encoded)]
    with pytest.raises(Unavailable, match="exceeds"):
        await ours.request("GET", url("/"))
    for body in (b"not gzip", zipped[:-3]):
        outside.answers["/"] = [response(body, encoded)]
        with pytest.raises(Unavailable, match="broke the protocol"):
            await ours.request("GET", url("/"))
    outside.answers["/"] = [response(b"x", "Content-Encoding: br")]
    with pytest.raises(Unavailable, match="not asked for"):
        await ours.request("GET", url("/"))


async def test_what_is_no_http_is_told(door, outside, url):
    """A server that speaks something else is not available."""
    outside.answers["/"] = [b"SSH-2.0-x\r\n\r\n"]
    with pytest.raises(Unavailable, match="broke the protocol"):
        await door().request("GET", url("/"))


async def test_what_all_doors_trust_is_read_once(monkeypatch):
    """However many there are: a server has six, and each reading of the public certificates takes longer than all else of a door."""
    read = []
    create = ssl.create_default_context
    monkeypatch.setattr(
        ssl, "create_default_context", lambda **given: read.append(1) or create(**given)
    )
    public_certificates.cache_clear()
    for _ in range(3):
        await Outbound(SystemClock()).close()
    assert read == [1]


async def test_unix_sockets_are_not_outside(names):
    """The pool can't be led to a socket of this machine."""
    dialler = _Dialler(names, [])
    with pytest.raises(OutboundRefused):
        await dialler.connect_unix_socket("/run/x.sock")
    await dialler.sleep(0)
    assert isinstance(dialler, httpcore.AsyncNetworkBackend)


async def test_the_systems_resolver_gives_addresses():
    """By default names are looked up as everywhere on this machine."""
    assert await resolve("127.0.0.1", 443) == ["127.0.0.1"]
    with pytest.raises(OSError, match="looked up"):
        await resolve("a" * 64 + ".example", 443)
