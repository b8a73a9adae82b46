"""Handing emails to mail servers: real ones, that accept, refuse, defer, stall and hang up."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from clarion.clock import ManualClock
from clarion.errors import SettingsError
from clarion.ids import Ids
from clarion.notifications.channels import NotSent, NotYet, Outgoing, Providers
from clarion.notifications.channels.email import domains
from clarion.notifications.channels.email.channel import EmailChannel
from clarion.notifications.channels.email.tracking import Tokens
from clarion.outbound import Outbound
from clarion.settings import Email, Sending
from tests.notifications.email.conftest import Servers
from tests.support.http_target import HttpTarget
from tests.support.mail_server import HANG_UP, STALL, MailServer

RUN = "0199c3a1-2b7e-7c10-9a55-5d1f0c6a7e21"
PLAIN = {"subject": "Hello", "text": "Hello Ann"}


class Post:
    """The email channel, and what it found out."""

    def __init__(self, channel: EmailChannel, clock: ManualClock, gone: list[str]) -> None:
        self.channel, self.clock, self.gone = channel, clock, gone
        self.suppressed: dict[str, str] = {}

    async def send(self, to: str = "ann@example.org", n: int = 0, **content: Any) -> Any:
        said = content or PLAIN
        message = Outgoing("default", f"{RUN}.1.{n}", "ann", to, said, "w", "", 1, 1_795_000_000_000)  # fmt: skip
        return await self.channel.send(message)

    async def refused(self, to: str = "ann@example.org", **content: Any) -> NotSent:
        with pytest.raises(NotSent) as found:
            await self.send(to, **content)
        return found.value


Posts = Callable[..., Post]


@pytest.fixture
async def posts() -> AsyncIterator[Posts]:
    async with AsyncExitStack() as stack:

        def make(*urls: str, sending: Sending | None = None, **settings: Any) -> Post:
            clock, ids, gone = ManualClock(), Ids(), list[str]()
            outbound = Outbound(clock, allow_private=("127.0.0.1/32",), allow_http=True, ports=range(1, 65536))  # fmt: skip
            stack.push_async_callback(outbound.close)
            own = sending or Sending()

            async def found_gone(message: Outgoing, why: str) -> None:
                gone.append(message.address)

            async def suppressed(message: Outgoing) -> str:
                return post.suppressed.get(message.address, "")

            channel = EmailChannel(
                Email(**{"providers": list(urls), "sender": "Clarion <clarion@example.com>", **settings}),
                Providers("email", own, clock=clock, ids=ids),
                outbound,
                Tokens(b"secret"),
                base_url="https://c.example",
                marks=(),
                suppressed=suppressed,
                on_gone=found_gone,
                timeout_s=own.timeout_s,
                clock=clock,
                ids=ids,
            )  # fmt: skip
            stack.push_async_callback(channel.close)
            post = Post(channel, clock, gone)
            return post

        yield make


def plain(server: MailServer, options: str = "") -> str:
    return f"smtp://localhost:{server.port}?tls=none{options}"


async def test_an_email_arrives(servers: Servers, posts: Posts) -> None:
    """From whom, to whom, what; the server's answer and what it calls the message are known."""
    server = await servers()
    post = posts(plain(server), return_path="bounces@example.com")
    sent = await post.send(
        subject="Hällo", html="<p>Hi <b>Ann</b>", reply_to="Support <help@example.com>", cc=["bob@example.org"], thread="17"
    )  # fmt: skip
    assert (sent.provider, sent.provider_id, sent.answer) == ("smtp:localhost", "Q1", "250 2.0.0 Ok: queued as Q1")  # fmt: skip
    [mail], said = server.mails, server.said()
    assert (mail.mail_from, mail.rcpt_tos) == ("bounces@example.com", ["ann@example.org", "bob@example.org"])  # fmt: skip
    assert said["Subject"] == "Hällo"
    assert said["From"] == "Clarion <clarion@example.com>"
    assert said["Message-ID"] == f"<{RUN}.1.0@example.com>"
    assert said["Reply-To"].addresses[0].addr_spec == "help@example.com"
    assert said.get_body(("plain",)).get_content().strip() == "Hi Ann"
    assert said["References"].startswith("<thread.")


async def test_connections_are_kept_and_renewed(servers: Servers, posts: Posts) -> None:
    """One connection serves many messages, up to a number; one that the server has closed meanwhile, or that is old, is replaced."""
    server = await servers()
    post = posts(plain(server, "&messages=3&idle=10"))
    for n in range(4):
        await post.send(n=n)
    assert (len(server.mails), server.sessions) == (4, 2)
    server.hang_up()
    await asyncio.sleep(0)
    await post.send(n=5)
    assert (len(server.mails), server.sessions) == (5, 3)
    post.clock.advance(11)
    await post.send(n=6)
    assert (len(server.mails), server.sessions) == (6, 4)


@pytest.mark.parametrize("way", ["smtp", "smtps"])
async def test_tls_is_insisted_on(
    way: str, servers: Servers, posts: Posts, mail_certificate: Path
) -> None:
    """STARTTLS or TLS from the start, with a certificate that is trusted, and a password only behind it."""
    server = await servers(tls=way == "smtp", is_tls=way == "smtps", user=("me", "p@ss"))
    url = f"{way}://me:p%40ss@localhost:{server.port}"
    await posts(f"{url}?ca={mail_certificate}").send()
    assert len(server.mails) == 1
    distrusted = await posts(url).refused()
    assert not distrusted.is_final
    assert "certificate" in distrusted.why.lower()
    wrong = await posts(f"{way}://me:wrong@localhost:{server.port}?ca={mail_certificate}").refused()
    assert wrong.why.startswith("535")
    assert (wrong.is_final, wrong.is_providers) == (False, True)
    assert "wrong" not in wrong.why


async def test_a_server_without_tls_gets_nothing(servers: Servers, posts: Posts) -> None:
    """A server that does not offer STARTTLS, or somebody on the way who hides that it does, sees no mail."""
    server = await servers()
    refusal = await posts(f"smtp://localhost:{server.port}").refused()
    assert "STARTTLS" in refusal.why
    assert server.mails == []


@pytest.mark.parametrize(
    ("where", "reply", "final", "cause", "gone", "after_s"),
    [
        ("RCPT", "450 4.2.0 Greylisted, try again in 300 seconds", False, "failed", False, 300.0),
        ("RCPT", "451 4.7.1 Please try later", False, "failed", False, None),
        ("RCPT", "421 4.3.2 Closing", False, "failed", False, None),
        ("RCPT", "452 4.2.2 Mailbox full, in 5 minutes", False, "failed", False, 300.0),
        ("RCPT", "550 5.1.1 User unknown", True, "bounced", True, None),
        ("RCPT", "550 no such user here", True, "bounced", True, None),
        ("RCPT", "552 5.2.2 Mailbox full", True, "bounced", False, None),
        ("RCPT", "550 5.7.1 Relaying denied", True, "failed", False, None),
        ("MAIL", "550 5.7.1 You may not send", True, "failed", False, None),
        ("MAIL", "451 4.3.0 Busy", False, "failed", False, None),
        ("DATA", "554 5.7.1 Spam", True, "failed", False, None),
        ("DATA", "452 4.3.1 No space", False, "failed", False, None),
    ],
)
async def test_what_a_refusal_means(
    servers: Servers, posts: Posts, where: str, reply: str, final: bool, cause: str, gone: bool, after_s: float | None
) -> None:  # fmt: skip
    """4xx is tried again, when the server says so; 5xx is final; what is about the mailbox has bounced, and one that does not exist is told of."""
    server = await servers()
    server.replies[where] = [reply]
    post = posts(plain(server))
    refusal = await post.refused()
    assert (refusal.why, refusal.is_final, refusal.cause, refusal.retry_after_s) == (reply, final, cause, after_s)  # fmt: skip
    assert post.gone == (["ann@example.org"] if gone else [])
    await post.send()  # and the next one is not hurt
    assert server.sessions == (2 if "421" in reply else 1)


@pytest.mark.parametrize("how", [HANG_UP, STALL])
async def test_no_answer_after_the_message_is_unknown(
    servers: Servers, posts: Posts, how: str
) -> None:
    """A line that breaks, or nothing said, after the last line: not the next server's message, but tried again with the same Message-ID."""
    first, second = await servers(), await servers()
    first.replies["DATA"] = [how]
    post = posts(plain(first, "&name=a&timeout=0.3"), plain(second, "&name=b"))
    refusal = await post.refused()
    assert "unknown" in refusal.why
    assert (refusal.is_final, refusal.is_providers, second.mails) == (False, False, [])
    first.going_on.set()
    await post.send()
    ids = [first.said(n)["Message-ID"] for n in (0, 1)]
    assert ids[0] == ids[1]
    assert first.mails[0].content == first.mails[1].content


async def test_a_line_that_breaks_before_is_the_next_servers_turn(
    servers: Servers, posts: Posts
) -> None:
    """Nothing was handed over yet, so another server may have it at once."""
    first, second = await servers(), await servers()
    first.replies["RCPT"] = [HANG_UP]
    sent = await posts(plain(first, "&name=a"), plain(second, "&name=b")).send()
    assert sent.provider == "b"
    assert [each.outcome for each in sent.tries] == ["failed", "sent"]


async def test_a_server_that_stalls_delays_nobody(servers: Servers, posts: Posts) -> None:
    """While one message waits for an answer others go their way, on connections of their own."""
    server = await servers()
    server.replies["RCPT slow@example.org"] = [STALL]
    post = posts(plain(server))
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(post.send("slow@example.org", n=1))
        await server.asked.wait()
        for n in range(3):
            await post.send(n=n + 2)
        assert not slow.done()
        server.going_on.set()
    assert (len(server.mails), server.sessions) == (4, 2)


async def test_a_server_that_is_not_there(posts: Posts) -> None:
    """It is tried again, and the reason is told."""
    refusal = await posts("smtp://localhost:1?tls=none").refused()
    assert not refusal.is_final
    assert "connect" in refusal.why.lower()


async def test_addresses_beyond_ascii(servers: Servers, posts: Posts) -> None:
    """They go to a server with SMTPUTF8, and are refused with a reason where there is none."""
    able, unable = await servers(utf8=True), await servers()
    await posts(plain(able)).send("müller@bücher.example")
    assert able.mails[0].rcpt_tos == ["müller@xn--bcher-kva.example"]
    refusal = await posts(plain(unable)).refused("müller@example.org")
    assert (refusal.is_final, "SMTPUTF8" in refusal.why) == (True, True)
    bad = await posts(plain(unable)).refused("no address\r\nBcc: x@y.z")
    assert (bad.is_final, bad.cause, unable.mails) == (True, "bounced", [])


async def test_a_copy_that_cannot_be_delivered_holds_nothing_up(
    servers: Servers, posts: Posts
) -> None:
    """Whom it is for gets it."""
    server = await servers()
    server.replies["RCPT bob@example.org"] = ["550 5.1.1 unknown"]
    await posts(plain(server)).send(subject="x", text="x", cc=["bob@example.org"])
    assert server.mails[0].rcpt_tos == ["ann@example.org"]


async def test_suppressed_addresses_are_not_written_to(servers: Servers, posts: Posts) -> None:
    """Asked at the last moment, too: what was decided an hour ago may not be so any more."""
    server = await servers()
    post = posts(plain(server))
    post.suppressed["ann@example.org"] = "bounce"
    refusal = await post.refused()
    assert (refusal.cause, refusal.is_final, server.sessions) == ("suppressed", True, 0)


async def test_a_copy_goes_to_no_suppressed_address_either(servers: Servers, posts: Posts) -> None:
    """The others get theirs, and the letter does not name who got none."""
    server = await servers()
    post = posts(plain(server))
    post.suppressed["bob@example.org"] = "complaint"
    await post.send(subject="x", text="x", cc=["Bob <bob@example.org>", "cy@example.org"])
    assert server.mails[0].rcpt_tos == ["ann@example.org", "cy@example.org"]
    assert server.said()["Cc"] == "cy@example.org"


async def test_files_go_with_it(servers: Servers, posts: Posts, target: HttpTarget) -> None:
    """Given, or fetched from where they are; an inline image with the HTML."""
    server = await servers()
    target.answers = [(200, b"fetched")]
    await posts(plain(server)).send(
        subject="x",
        html='<img src="cid:logo">',
        attachments=[
            {"content": "aGVs\nbG8=", "filename": "hello.txt"},
            {"url": f"{target.url}/files/r%C3%A4ume.pdf", "type": "application/pdf"},
            {"content": "aGVsbG8=", "filename": "logo.png", "cid": "logo"},
        ],
    )
    said = server.said()
    found = [(part.get_filename(), part.get_content()) for part in said.iter_attachments()]
    assert found == [("hello.txt", "hello"), ("räume.pdf", b"fetched")]
    assert [part["Content-ID"] for part in said.walk() if part["Content-ID"]] == ["<logo>"]


async def test_files_are_bounded(servers: Servers, posts: Posts, target: HttpTarget) -> None:
    """In number and bytes; a file that is not there for good ends the message, one that is not there now does not."""
    server = await servers()
    post = posts(plain(server), attachments=2, attachment_bytes=10)
    file = {"content": "aGVsbG8=", "filename": "a"}
    said = {"subject": "x", "text": "x"}
    for attachments, why in (
        ([file] * 3, "email.attachments"),
        ([{"content": "aGVsbG8gaGVsbG8=", "filename": "a"}], "email.attachment_bytes"),
        ([{"url": "http://10.0.0.1/secret"}], "attachment"),
    ):
        refusal = await post.refused(**said, attachments=attachments)
        assert refusal.is_final
        assert why in refusal.why
    for status, is_final in ((404, True), (503, False), (429, False)):
        target.answers = [(status, b"")]
        refusal = await post.refused(**said, attachments=[{"url": f"{target.url}/a"}])
        assert refusal.is_final is is_final
    target.answers = [(200, b"x" * 11)]
    refusal = await post.refused(**said, attachments=[{"url": f"{target.url}/a"}])
    assert "attachment" in refusal.why
    assert server.mails == []


async def test_a_message_that_is_too_large_is_not_begun(servers: Servers, posts: Posts) -> None:
    """A server that says how much it takes is not given more."""
    server = await servers(size=10_000)
    refusal = await posts(plain(server)).refused(
        subject="x", text="x", attachments=[{"content": "AAAA" * 5_000, "filename": "a"}]
    )
    assert (refusal.is_final, "bytes" in refusal.why, server.mails) == (True, True, [])


async def test_a_domain_gets_no_more_than_it_likes(servers: Servers, posts: Posts) -> None:
    """Each message that must wait is given a time of its own, and goes then; other domains do not wait."""
    server = await servers()
    post = posts(plain(server), domain_rate=0.5)
    await post.send(n=0)
    for n, after_s in ((1, 2.0), (2, 4.0), (1, 2.0)):
        with pytest.raises(NotYet) as found:
            await post.send(n=n)
        assert found.value.after_s == pytest.approx(after_s)
    await post.send("ann@other.example", n=3)
    post.clock.advance(2)
    await post.send(n=1)
    with pytest.raises(NotYet):
        await post.send(n=2)
    post.clock.advance(2)
    await post.send(n=2)
    assert len(server.mails) == 4


async def test_a_domain_gets_few_at_a_time(servers: Servers, posts: Posts) -> None:
    """What comes while its messages are under way comes again later."""
    server = await servers()
    server.replies["RCPT"] = [STALL]
    post = posts(plain(server), domain_concurrency=1)
    async with asyncio.TaskGroup() as group:
        group.create_task(post.send())
        await server.asked.wait()
        with pytest.raises(NotYet):
            await post.send(n=1)
        server.going_on.set()
    await post.send(n=1)
    assert len(server.mails) == 2


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("smtp://user:secret@mail.example?tls=none", "without TLS"),
        ("smtps://mail.example?tls=none", "tls must be"),
        ("smtp://mail.example?tls=maybe", "tls must be"),
        ("smtp:///x", "a mail server is"),
        ("smtp://mail.example?ca=/no/such/file", "ca is no file"),
        ("smtp://mail.example?messages=x", "numbers"),
        ("smtp://mail.example?wrong=1", "no option"),
        ("carrier-pigeon://mail.example", "no such provider"),
    ],
)
def test_servers_that_are_none(url: str, why: str) -> None:
    """The start says what is wrong, and shows no password."""
    clock, ids = ManualClock(), Ids()
    providers = Providers("email", Sending(), clock=clock, ids=ids)

    async def never(*_: object) -> Any:
        raise AssertionError

    with pytest.raises(SettingsError) as found:
        EmailChannel(
            Email(providers=[url]), providers, Outbound(clock), Tokens(b""), base_url="", marks=(), suppressed=never,
            on_gone=never, timeout_s=1, clock=clock, ids=ids,
        )  # fmt: skip
    assert why in str(found.value)
    assert "secret" not in str(found.value)


async def test_times_that_nobody_came_at_are_forgotten(
    servers: Servers, posts: Posts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for a domain is bounded: the rest comes again, and in the end all have gone."""
    monkeypatch.setattr(domains, "BOOKED", 1)
    server = await servers()
    post = posts(plain(server), domain_rate=1)
    await post.send(n=0)
    for n in (1, 2, 3):
        with pytest.raises(NotYet):
            await post.send(n=n)
    post.clock.advance(700)
    for n in (2, 3):
        await post.send(n=n)
        post.clock.advance(1)
    assert len(server.mails) == 3


async def test_a_way_out_that_cannot_be_written(servers: Servers, posts: Posts) -> None:
    """It ends the message, with the reason."""
    server = await servers()
    post = posts(plain(server))

    async def nasty(_: Outgoing) -> str:
        return "https://c.example/\r\nBcc: x@y.z"

    post.channel.unsubscribe = nasty
    refusal = await post.refused()
    assert (refusal.is_final, "List-Unsubscribe" in refusal.why, server.mails) == (True, True, [])


async def test_a_server_that_closes_at_a_copy(servers: Servers, posts: Posts) -> None:
    """Then nothing was handed over, and all of it is tried again."""
    server = await servers()
    server.replies["RCPT bob@example.org"] = ["421 4.3.2 closing"]
    refusal = await posts(plain(server)).refused(subject="x", text="x", cc=["bob@example.org"])
    assert (refusal.is_final, refusal.is_providers, server.mails) == (False, True, [])
